"""Measures live sessions on the real stack, at the receiver: `python -m docs.benchmarks.live`.

Starts a stack of its own whose language model and voice are a stub of known delays (first token after
150 ms, one every 20 ms, first sound after 100 ms), and joins sessions as customers do: REST, WebSocket,
WebRTC. `python -m docs.benchmarks.live latency idle` measures some sections only; the others keep
what was measured before. Sections: latency, idle, speaking, interrupts, clips, offset. Writes live.md.

Wall-clock figures mean something on a machine that does nothing else. The clients share its cores with
the service: theirs is counted apart.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from docs.benchmarks._live_page import page
from docs.benchmarks.clip import PORTRAIT, SCRIPT, cpu, ready_avatar
from project.bench.client import LiveClient
from project.bench.provider_stub import REPLY
from project.bench.providers import Providers
from project.bench.stack import EmbeddedStack

PAGE = Path(__file__).with_suffix(".md")
DATA = Path(__file__).with_suffix(".json")
TURNS = 20
IDLE_COUNTS = (1, 10, 30, 60)
SPEAKING_COUNTS = (1, 4, 8, 12)
SECONDS = float(os.getenv("LIVE_BENCH_SECONDS", "20"))  # noqa: TID251 - a program of its own
OFFSET_SECONDS = float(os.getenv("LIVE_BENCH_OFFSET_SECONDS", "600"))  # noqa: TID251 - as above
LONG_REPLY = " ".join([REPLY] * 3)
SHORT_REPLY = REPLY[: REPLY.index(".") + 1]
QUESTION = "When is your shop open?"
ENVIRONMENT = {
    "BUILTIN_AVATARS": "none",
    "LIVE_IDLE_TIMEOUT_SECONDS": "3600",
    "ALLOWANCE_CONCURRENT_SESSIONS": "1000",
    "ALLOWANCE_LIVE_SLOTS": "0",
    "ALLOWANCE_SESSION_MINUTES_A_DAY": "100000",
    "ALLOWANCE_REQUESTS_A_MINUTE": "100000",
}
Section = Callable[["Bench"], Awaitable[dict[str, Any]]]


class Bench:
    """The stack, the stub, and the avatar that everybody talks to."""

    def __init__(self, stack: EmbeddedStack, stub: Providers, avatar: str) -> None:
        self.stack, self.stub, self.avatar = stack, stub, avatar

    @asynccontextmanager
    async def sessions(self, count: int, **wishes: Any) -> AsyncIterator[list[LiveClient]]:
        """That many customers, connected and watching; their sessions end with the block."""
        async with AsyncExitStack() as exits, httpx.AsyncClient(timeout=60) as http:
            clients = []
            for _ in range(count):
                client = await exits.enter_async_context(
                    LiveClient(
                        self.stack.base_url,
                        self.stack.api_key,
                        avatar=wishes.get("avatar", self.avatar),
                        wishes={"record": wishes.get("record", False)},
                        read_cards=bool(wishes.get("read_cards")),
                        http=http,
                    )
                )
                await client.create()
                await client.join()
                await client.connect_media()
                clients.append(client)
            try:
                yield clients
            finally:
                for client in clients:
                    await client.request("POST", f"sessions/{client.id}/end", {})

    def web_cpu(self) -> float:
        return sum(used for part, used in cpu(self.stack).items() if part.startswith("web"))

    def web_memory(self) -> float:
        """Proportional memory of the web processes, in MB."""
        pids = [pid for part, pid in self.stack.pids().items() if part.startswith("web")]
        return sum(_pss(pid) for pid in pids) / 1024


async def latency(bench: Bench) -> dict[str, Any]:
    """One session on a quiet stack."""
    created, answered, shown = [], [], []
    async with httpx.AsyncClient(timeout=60) as http:
        for _ in range(TURNS):
            client = LiveClient(
                bench.stack.base_url,
                bench.stack.api_key,
                avatar=bench.avatar,
                wishes={"record": False},
                http=http,
            )
            client.decode = True
            async with client:
                await client.create()
                await client.join()
                await client.connect_media()
                created.append(client.connecting.session_create_ms)
                answered.append(client.connecting.answer_ms)
                shown.append(client.connecting.first_frame_ms)
                await client.request("POST", f"sessions/{client.id}/end", {})
    async with bench.sessions(1) as (client,):
        bench.stub.control(reply=SHORT_REPLY)
        heard = await _answers(bench, client, TURNS)
        stopped, late = await _interruptions(bench, client, TURNS)
    return {
        "session_create_ms": created,
        "answer_ms": answered,
        "first_frame_ms": shown,
        **heard,
        "interrupt_ms": stopped,
        "late_packets": late,
    }


async def idle(bench: Bench) -> dict[str, Any]:
    """Sessions that nobody talks in."""
    rows = []
    async with bench.sessions(1):
        await asyncio.sleep(3)
    await asyncio.sleep(3)
    rest, base = await _rate(bench), bench.web_memory()
    for count in IDLE_COUNTS:
        async with bench.sessions(count) as clients:
            await asyncio.sleep(2)
            rows.append(await _load(bench, clients, rest, base))
        await asyncio.sleep(3)
    return {"rows": rows, "base_mb": base, "after_mb": bench.web_memory()}


async def speaking(bench: Bench) -> dict[str, Any]:
    """Sessions that all speak at once."""
    rows = []
    await asyncio.sleep(3)
    rest, base = await _rate(bench), bench.web_memory()
    bench.stub.control(reply=LONG_REPLY)
    for count in SPEAKING_COUNTS:
        async with bench.sessions(count) as clients:
            talks = [
                asyncio.create_task(_talk(client, index / count)) for index, client in enumerate(clients)
            ]
            await asyncio.sleep(6)
            began = time.monotonic()
            row = await _load(bench, clients, rest, base)
            heard = [client.watcher.realtime_ratio(began, began + SECONDS) for client in clients]
            await _stop(talks)
            row["ratios"] = [ratio or 0.0 for ratio in heard]
            rows.append(row)
        await asyncio.sleep(3)
    bench.stub.control(reply=REPLY)
    return {"rows": rows, "base_mb": base, "after_mb": bench.web_memory()}


async def interrupts(bench: Bench) -> dict[str, Any]:
    """One session is interrupted while eight speak."""
    async with bench.sessions(8) as clients:
        bench.stub.control(reply=LONG_REPLY)
        talks = [asyncio.create_task(_talk(client, index / 7)) for index, client in enumerate(clients[1:])]
        await asyncio.sleep(4)
        stopped, late = await _interruptions(bench, clients[0], TURNS)
        await _stop(talks)
    bench.stub.control(reply=REPLY)
    return {"interrupt_ms": stopped, "late_packets": late}


async def clips(bench: Bench) -> dict[str, Any]:
    """Ten idle and two speaking sessions, alone and while four clips are made."""
    found: dict[str, Any] = {}
    for name, count in (("alone", 0), ("beside", 4)):
        async with bench.sessions(12) as clients:
            makers = [asyncio.create_task(asyncio.to_thread(_make_clips, bench, 80.0)) for _ in range(count)]
            await asyncio.sleep(3 if count else 0)
            began = time.monotonic()
            talks = [asyncio.create_task(_answers(bench, client, TURNS // 4)) for client in clients[:2]]
            heard = [await talk for talk in talks]
            found[name] = {
                "first_audible_ms": [ms for each in heard for ms in each["first_audible_ms"]],
                "video": [_video(client, began) for client in clients],
                "clips": sum([await maker for maker in makers]),
            }
    return found


async def offset(bench: Bench) -> dict[str, Any]:
    """Lips and voice of a test card: at first, after long, and after the process stood still for 2 s."""
    card = await asyncio.to_thread(_card_avatar, bench.stack)
    bench.stub.control(reply=LONG_REPLY)
    async with bench.sessions(1, avatar=card, read_cards=True) as (client,):
        talk = asyncio.create_task(_talk(client, 0))
        first = await _offset_after(client, 20)
        middle = await _offset_after(client, OFFSET_SECONDS - 20)
        webs = [pid for part, pid in bench.stack.pids().items() if part.startswith("web")]
        for pid in webs:
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(2)
        for pid in webs:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(2)
        stalled = await _offset_after(client, 20)
        await _stop([talk])
    bench.stub.control(reply=REPLY)
    return {"first_ms": first, "seconds": OFFSET_SECONDS, "then_ms": middle, "stalled_ms": stalled}


# --- Parts of a measurement ---------------------------------------------------------------------


async def _answers(bench: Bench, client: LiveClient, turns: int) -> dict[str, Any]:
    """Ask in writing, and time the first sound; also above what the stub itself takes."""
    heard: list[float] = []
    asked = len(bench.stub.spoken())
    for turn in range(turns + 1):
        begun = await client.user_text(QUESTION)
        ms = await client.first_sound(begun)
        if turn:  # the first one loads what the others find loaded
            heard.append(ms)
        await client.event("speech.ended", since=begun, seconds=60)
        await asyncio.sleep(0.3)
    first = next(piece for piece in bench.stub.spoken()[asked:] if REPLY.startswith(piece.rstrip(".,")))
    return {"first_audible_ms": heard, "floor_ms": _floor(first)}


def _floor(piece: str) -> float:
    """When the stub has given the words of a piece and the first sound of it, in ms."""
    return 150.0 + 20.0 * (len(piece.split()) - 1) + 100.0


async def _interruptions(bench: Bench, client: LiveClient, turns: int) -> tuple[list[float], int]:
    """Have the avatar stop somewhere in its second second, and time the silence."""
    stopped, late = [], 0
    bench.stub.control(reply=LONG_REPLY)
    for turn in range(turns):
        begun = await client.user_text(QUESTION)
        await client.first_sound(begun)
        await asyncio.sleep(1.0 + turn / turns)
        await client.until(lambda: client.watcher.sounds[-1].audible)
        said = await client.send("avatar.interrupt")
        stopped.append(await client.silence(said, quiet=0.6))
        late += client.late_packets(said)
    bench.stub.control(reply=REPLY)
    return stopped, late


async def _talk(client: LiveClient, delay: float) -> None:
    """Keep the avatar speaking; `delay` spreads the beginnings over a second."""
    await asyncio.sleep(delay)
    while True:
        begun = await client.user_text(QUESTION)
        await client.event("speech.ended", since=begun, seconds=120)


async def _load(bench: Bench, clients: list[LiveClient], rest: float, base: float) -> dict[str, Any]:
    """What so many sessions take, and what their customers see, over some seconds."""
    began, used, own = time.monotonic(), bench.web_cpu(), time.process_time()
    await asyncio.sleep(SECONDS)
    seconds = time.monotonic() - began
    video = [_video(client, began) for client in clients]
    return {
        "sessions": len(clients),
        "web_core": ((bench.web_cpu() - used) / seconds - rest) / len(clients),
        "web_mb": (bench.web_memory() - base) / len(clients),
        "client_core": (time.process_time() - own) / seconds,
        "fps": [figures["fps"] for figures in video],
        "freezes": sum(figures["freezes"] for figures in video),
        "longest_ms": max(figures["longest_ms"] for figures in video),
    }


def _video(client: LiveClient, since: float) -> dict[str, float]:
    figures = client.watcher.video(since)
    return {"fps": figures.fps, "freezes": figures.freezes, "longest_ms": figures.longest_ms}


async def _rate(bench: Bench) -> float:
    """Cores that the web processes use without any session."""
    began, used = time.monotonic(), bench.web_cpu()
    await asyncio.sleep(5)
    return (bench.web_cpu() - used) / (time.monotonic() - began)


async def _offset_after(client: LiveClient, seconds: float) -> float | None:
    """Wait, then judge the last twenty seconds."""
    await asyncio.sleep(seconds)
    return client.av_offset_ms(time.monotonic() - 20)


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _make_clips(bench: Bench, seconds: float) -> int:
    """Make one clip after the other for so long; returns how many were finished."""
    made, until = 0, time.monotonic() + seconds
    with bench.stack.client as http:
        while time.monotonic() < until:
            body = {"avatar": bench.avatar, "script": SCRIPT}
            clip = http.post("/api/v1/clips", json=body).raise_for_status().json()
            while clip["status"] in ("queued", "running") and time.monotonic() < until:
                time.sleep(0.5)
                clip = http.get(f"/api/v1/clips/{clip['id']}").json()
            made += clip["status"] == "succeeded"
    return made


def _card_avatar(stack: EmbeddedStack) -> str:
    with stack.client as http:
        files = {"image": (PORTRAIT.name, PORTRAIT.read_bytes())}
        posted = http.post("/api/v1/avatars", data={"name": "Card", "model": "mock"}, files=files)
        avatar = posted.raise_for_status().json()
        while avatar["status"] == "preparing":
            time.sleep(0.2)
            avatar = http.get(f"/api/v1/avatars/{avatar['id']}").json()
    return str(avatar["id"])


def _pss(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1])


# --- The program --------------------------------------------------------------------------------

SECTIONS: dict[str, Section] = {
    "latency": latency,
    "idle": idle,
    "speaking": speaking,
    "interrupts": interrupts,
    "clips": clips,
    "offset": offset,
}


def main() -> int:
    wanted = sys.argv[1:] or list(SECTIONS)
    if unknown := sorted(set(wanted) - set(SECTIONS)):
        print(f"No such section: {', '.join(unknown)}; there are {', '.join(SECTIONS)}", file=sys.stderr)
        return 2
    found: dict[str, Any] = json.loads(DATA.read_text()) if DATA.is_file() else {}
    with Providers() as stub:
        measure(stub, wanted, found)
    return 0


def measure(stub: Providers, wanted: list[str], found: dict[str, Any]) -> None:
    """Run the wanted sections on one stack, writing the page after each."""
    env = ENVIRONMENT | stub.environment
    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as folder,
        EmbeddedStack(Path(folder) / "home", render_workers=2, env=env) as stack,
    ):
        with stack.client as http:
            avatar = ready_avatar(http)
        bench = Bench(stack, stub, avatar["id"])
        for name in wanted:
            print(f"-- {name}", flush=True)
            figures = asyncio.run(SECTIONS[name](bench))
            found[name] = figures | {"load": os.getloadavg()[0], "at": f"{datetime.now(UTC):%Y-%m-%d}"}
            DATA.write_text(json.dumps(found, indent=1), encoding="utf-8")
            PAGE.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
