"""What logs and traces of a turn and of a fragment cost; told by `docs.benchmarks.overhead`.

Lines are JSON and go nowhere; spans go to a collector in another process, and the CPU time of the thread that
sends them counts.
"""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

from project import context, tracing
from sessions.pipeline import over
from sessions.pipeline.account import Account
from sessions.pipeline.measures import Measures
from workers.logs import JsonFormatter

PIECES, REQUESTS = 3, 5
Cost = Callable[[Callable[[], object], int, int], float]
Row = tuple[str, float, str, float]
COLLECTOR = """
import http.server
class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Collector)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def _collector() -> Iterator[None]:
    """Keep traces, and have another process take them."""
    taking = subprocess.Popen([sys.executable, "-c", COLLECTOR], stdout=subprocess.PIPE, text=True)
    try:
        assert taking.stdout is not None  # noqa: S101 - it is a pipe
        url = f"http://127.0.0.1:{int(taking.stdout.readline())}"
        tracing.start(url, service="bench", process="bench", ratio=1.0, headers={})
        yield
        tracing.stop()
    finally:
        taking.kill()
        taking.communicate()


@contextmanager
def _lines() -> Iterator[None]:
    """Write the logs of the service as JSON, to nowhere."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device
        handler = logging.StreamHandler(nowhere)
        handler.addFilter(tracing.ContextFilter())
        handler.setFormatter(JsonFormatter(process="bench"))
        log = logging.getLogger("sessions.pipeline.over")
        before, log.propagate = log.level, False
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(before)
            log.propagate = True


def _account() -> Account:
    """A turn of the avatar that went through every stage."""
    measures = Measures.begin()
    for name in ("endpoint", "asr", "retrieval"):
        measures.waterfall.add(name, measures.origin, measures.origin + 0.1, provider="local")
    for piece in range(PIECES):
        for name in ("llm", "tts", "render", "playout"):
            measures.waterfall.begin(name, piece)
            measures.waterfall.end(name, piece, provider="local")
    made = {
        "failed": False,
        "interrupted": False,
        "source": "voice",
        "text": "x" * 200,
        "playing": [1] * PIECES,
    }
    return cast("Account", SimpleNamespace(turn=1, fault="", heard_text="", measures=measures, **made))


def _turn(loop: asyncio.AbstractEventLoop, account: Account) -> Callable[[], None]:
    def turn() -> None:
        loop.run_until_complete(told())

    async def told() -> None:
        with tracing.within(tracing.turn("ses_bench", 1)), context.about(session="ses_bench", turn=1):
            for number in range(REQUESTS):
                with tracing.span("render", number=number) as span:
                    span.set(worker="live1", attempt=1, queue_ms=1.0, render_ms=90.0)
        over.tell("ses_bench", account)

    return turn


def _fragment() -> None:
    with tracing.span(
        "fragment", plan=tracing.clip("clip_bench"), clip="clip_bench", fragment=1, waited_ms=1
    ):
        with tracing.span("draw", frames=75, model="viseme"):
            pass
        with tracing.span("store", bytes=100_000):
            pass


def rows(cost: Cost, repeats: int, fragment_ms: float) -> list[Row]:
    """Name, telling in ms of CPU, what it is beside, and that in ms; `fragment_ms` is drawing one."""
    loop = asyncio.new_event_loop()
    beside = f"{REQUESTS} fragments, without speech and sending"

    async def made() -> Any:
        return _account()

    turn = _turn(loop, loop.run_until_complete(made()))
    with _lines():
        without = cost(turn, 50, repeats)
        with _collector():
            both, fragment = cost(turn, 50, repeats), cost(_fragment, 50, repeats)
    loop.close()
    return [
        ("the log of a turn", without, beside, REQUESTS * fragment_ms),
        ("the log and the trace of a turn", both, beside, REQUESTS * fragment_ms),
        ("the trace of a clip's fragment", fragment, "drawing and encoding it", fragment_ms),
    ]
