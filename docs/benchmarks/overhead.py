"""What counting, logs and traces cost, beside the work: `python -m docs.benchmarks.overhead`.

Figures are kept in a folder with eight other processes, as on a busy machine. Work and counting take
turns, and each is measured in CPU time of this process alone, so that a busy machine slows both alike.
"""

# ruff: noqa: E402 - settings are read at import, so what they say comes first

import argparse
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = tempfile.mkdtemp(prefix="parley-overhead-")
os.environ.update(  # noqa: TID251 - what settings read
    PARLEY_HOME=HOME, METRICS_DIR=f"{HOME}/metrics", SECRET_KEY=secrets.token_hex(), PROCESS_NAME="bench"
)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")  # noqa: TID251
(Path(HOME) / "static").mkdir()

import django

django.setup()

from django.test import Client

from docs.benchmarks import _telling
from docs.benchmarks.encode import FRAMES, PART, Talking
from project.metrics import instruments, page, publishing
from sessions import figures as session_figures
from workers.gpu import figures

GOAL = 2.0
SCRAPE_SECONDS = 15
FRAGMENTS_OF_A_TURN = 5
NEIGHBOURS = 8
TURN = {
    "type": "metrics",
    "asr_partial_latency_ms": 180.0,
    "asr_final_ms": 120.0,
    "retrieval_ms": 9.0,
    "llm_first_token_ms": 240.0,
    "tts_first_pcm_ms": 130.0,
    "avatar_first_frame_ms": 90.0,
    "first_audible_ms": 620.0,
    "response_ms": 700,
    "interrupt_ms": 20,
}
NEIGHBOUR = """
import sys, django
django.setup()
from sessions import figures
from workers.gpu import figures as drawing
from project.metrics import instruments, publishing
for route in range(60): instruments.http_seconds.labels(f"route/{route}").observe(0.01)
for stage in ("speech", "rendering"): instruments.clip_stage.labels(stage, "succeeded").observe(1)
with drawing.drawing("viseme", 25): pass
publishing.publish()
print("there", flush=True)
sys.stdin.readline()
"""


def cpu_ms(work: Callable[[], object], times: int, repeats: int) -> float:
    """The median of `repeats`, in milliseconds of CPU for one call."""

    def once() -> float:
        began = time.process_time()
        for _ in range(times):
            work()
        return (time.process_time() - began) * 1000 / times

    return statistics.median(once() for _ in range(repeats))


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    command = [sys.executable, "-c", NEIGHBOUR]
    started = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PROCESS_NAME": f"other{number}"},  # noqa: TID251
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    try:
        for one in started:
            if one.stdout is None or one.stdout.readline() != "there\n":
                raise RuntimeError("A neighbour did not begin.")
        yield
    finally:
        for one in started:
            one.kill()
            one.communicate()


def of_a_fragment() -> None:
    with figures.drawing("viseme", PART, "live"):
        pass


def of_a_turn() -> None:
    session_figures.count(TURN)
    session_figures.count({"type": "speech.ended", "interrupted": False})
    for _ in range(FRAGMENTS_OF_A_TURN):
        of_a_fragment()


def of_a_request() -> None:
    instruments.http_requests.labels("GET", "livez", "200").inc()
    instruments.http_seconds.labels("livez").observe(0.01)


def rows(repeats: int) -> list[tuple[str, float, str, float]]:
    """Name, counting in ms, what it is beside, and that in ms."""
    talking, client = Talking(), Client()
    fragment = cpu_ms(talking.pipeline, 1, repeats) * PART / FRAMES
    request = cpu_ms(lambda: client.get("/livez", headers={"Host": "localhost"}), 20, repeats)
    return [
        (
            "a fragment",
            cpu_ms(of_a_fragment, 500, repeats),
            f"drawing and encoding {PART} pictures",
            fragment,
        ),
        (
            "a turn",
            cpu_ms(of_a_turn, 100, repeats),
            f"{FRAGMENTS_OF_A_TURN} such fragments, without speech and sending",
            FRAGMENTS_OF_A_TURN * fragment,
        ),
        ("a request", cpu_ms(of_a_request, 500, repeats), "the cheapest request, `/livez`", request),
        (
            "5 s of a process",
            cpu_ms(publishing.publish, 20, repeats),
            "5 s of one core",
            publishing.EVERY_SECONDS * 1000,
        ),
        (
            f"the page, with {NEIGHBOURS} other processes",
            cpu_ms(lambda: page.render(service=False), 3, repeats),
            f"{SCRAPE_SECONDS} s of one core, for all processes together",
            SCRAPE_SECONDS * 1000.0,
        ),
        *_telling.rows(cpu_ms, repeats, fragment),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    try:
        with neighbours(NEIGHBOURS):
            found = rows(options.repeats)
    finally:
        shutil.rmtree(HOME, ignore_errors=True)
    print("| Telling of | takes (CPU ms) | beside | which takes (CPU ms) | share |")
    print("|---|---|---|---|---|")
    for name, took, beside, whole in found:
        print(f"| {name} | {took:.4f} | {beside} | {whole:.1f} | {took / whole:.3%} |")
    worst = max(took / whole for _, took, _, whole in found) * 100
    print(f"\nThe largest share is {worst:.2f}%; the goal is {GOAL:g}%.")
    return int(worst > GOAL)


if __name__ == "__main__":
    sys.exit(main())
