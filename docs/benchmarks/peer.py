"""What a peer costs: processor and memory of a process that sends idle loops to many clients.

`python -m docs.benchmarks.peer` writes docs/benchmarks/peer.md. The clients live in another process,
count packets and send what a browser sends; the sending process has the clock, playout and peers of
the real thing, and nothing else.
"""

import asyncio
import gc
import multiprocessing
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from project.bench.client import opus_encoder
from project.bench.peer import LightPeer
from rtc.clock import Pump
from rtc.frames import IdleLoop
from rtc.ice import IceConfig
from rtc.packets import access_units
from rtc.peer import Peer
from rtc.playout import Playout
from tests.support import models
from workers.adapters.avatar.base import Still
from workers.rendering.live import encode_idle_loops

PAGE = Path(__file__).with_suffix(".md")
PORTRAIT = Path(__file__).parents[2] / "tests" / "data" / "portraits" / "mei.jpg"


@dataclass(frozen=True)
class Plan:
    """How many sessions to measure, for how long, and how often to connect and leave."""

    counts: tuple[int, ...]
    seconds: float
    cycles: int


class Nobody:
    """A listener that counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.samples = 0

    def connected(self) -> None:
        self.told.append("connected")

    def disconnected(self, reason: str) -> None:
        self.told.append(reason)

    def keyframe_wanted(self) -> None: ...

    def quality(self, level: str) -> None: ...

    def microphone(self, pcm: bytes) -> None:
        self.samples += len(pcm) // 2

    def started(self, *_: object) -> None: ...

    def ended(self, *_: object, **__: object) -> None: ...

    def underrun(self, *_: object) -> None: ...

    def resumed(self, *_: object) -> None: ...

    def run(self, *_: object) -> None: ...


def make_loop() -> bytes:
    """An idle loop of 10 s at 512x640, as preparation makes it."""
    prepared = models.preparer("viseme").prepare(Still(np.asarray(cv2.imread(str(PORTRAIT)), np.uint8)))
    idle, _ = encode_idle_loops(prepared.idle, width=prepared.width, height=prepared.height)
    return idle.data


# --- The clients' process -----------------------------------------------------------------------


def nothing(_kind: str, _size: int) -> bool:
    """The clients count; what is inside does not matter."""
    return False


def clients(pipe: Connection) -> None:
    asyncio.run(_clients(pipe))


class Clients:
    """Answers what the sending process asks for: a method for each question."""

    def __init__(self) -> None:
        self._peers: list[LightPeer] = []
        self._speaking = False
        self._packet = _speech()

    async def offers(self, count: int) -> list[str]:
        self._peers = [LightPeer(needs=nothing) for _ in range(count)]
        return [await peer.offer() for peer in self._peers]

    async def answers(self, texts: list[str]) -> None:
        await asyncio.gather(*(peer.accept(text) for peer, text in zip(self._peers, texts, strict=True)))

    async def speak(self, on: bool) -> None:
        self._speaking = on

    async def reset(self, _: None) -> None:
        for peer in self._peers:
            for stream in peer.streams.values():
                stream.longest_gap, stream.frames, stream.packets, stream.octets = 0.0, 0, 0, 0

    async def counts(self, _: None) -> list[dict[str, float]]:
        return [_counts(peer) for peer in self._peers]

    async def close(self, _: None) -> None:
        await asyncio.gather(*(peer.close() for peer in self._peers))
        self._peers = []

    async def talk(self) -> None:
        """Everybody's microphone, 50 packets a second."""
        while True:
            for peer in self._peers if self._speaking else ():
                peer.speak(self._packet)
            await asyncio.sleep(0.02)


async def _clients(pipe: Connection) -> None:
    them, loop = Clients(), asyncio.get_running_loop()
    talking = asyncio.create_task(them.talk())
    while (asked := await loop.run_in_executor(None, pipe.recv)) is not None:
        what, value = asked
        pipe.send(await getattr(them, what)(value))
    talking.cancel()


def _counts(peer: LightPeer) -> dict[str, float]:
    video, audio = peer.streams["video"], peer.streams["audio"]
    return {
        "frames": video.frames,
        "octets": video.octets,
        "lost": video.lost + audio.lost,
        "gap": video.longest_gap,
        "sounds": audio.frames,
        "offset": peer.offset_ms() or 0.0,
    }


def _speech() -> bytes:
    """A 20 ms packet of wideband noise: as long as those of speech that browsers send us."""
    encoder, noise = opus_encoder(), np.random.default_rng(0).normal(0, 3000, 16_000).astype(np.int16)
    packets: list[bytes] = []
    for start in range(0, 16_000, 320):
        sound = av.AudioFrame.from_ndarray(noise[None, start : start + 320], format="s16", layout="mono")
        sound.sample_rate, sound.pts = 16_000, start
        packets += [bytes(packet) for packet in encoder.encode(sound)]
    return packets[20]


# --- The sending process ------------------------------------------------------------------------


@dataclass
class Row:
    sessions: int
    idle_cpu: float  # percent of a core a session
    speaking_cpu: float
    clock_cpu: float  # of which clock and playout alone
    megabytes: float
    fps: float
    gap_ms: float
    kilobits: float
    lost: int


@dataclass
class Session:
    peer: Peer
    listener: Nobody


def memory() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


async def ask(pipe: Connection, what: str, value: object = None) -> Any:
    pipe.send((what, value))
    return await asyncio.get_running_loop().run_in_executor(None, pipe.recv)


async def connect(pipe: Connection, count: int) -> list[Session]:
    offers = await ask(pipe, "offers", count)
    sessions = []
    for offer in offers:
        listener = Nobody()
        sessions.append(Session(await Peer.answer(offer, ice=IceConfig(), on_event=listener), listener))
    await ask(pipe, "answers", [session.peer.answer_sdp for session in sessions])
    return sessions


async def disconnect(pipe: Connection, sessions: list[Session]) -> None:
    await asyncio.gather(*(session.peer.close() for session in sessions))
    await ask(pipe, "close")


async def used(seconds: float) -> float:
    """Percent of a core that this process uses."""
    began, cpu = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    return 100 * (time.process_time() - cpu) / (time.monotonic() - began)


async def measure(pipe: Connection, count: int, seconds: float, loop: Any) -> Row:
    pump, listener, now = Pump(), Nobody(), asyncio.get_running_loop().time()
    playouts = [Playout(loop, listener=listener) for _ in range(count)]
    bare = [pump.add(_only(playout), now) for playout in playouts]
    clock = await used(4)
    for driven in bare:
        pump.remove(driven)
    before = memory()
    sessions = await connect(pipe, count)
    for session, playout in zip(sessions, playouts, strict=True):
        pump.add(_drive(session.peer, playout), now)
    await asyncio.sleep(2)
    await ask(pipe, "reset")
    began = time.monotonic()
    idle = await used(seconds)
    counts = await ask(pipe, "counts")
    passed = time.monotonic() - began
    await ask(pipe, "speak", value=True)
    speaking = await used(seconds / 2)
    await ask(pipe, "speak", value=False)
    grown = memory() - before
    pump.close()
    await disconnect(pipe, sessions)
    return Row(
        sessions=count,
        idle_cpu=idle / count,
        speaking_cpu=speaking / count,
        clock_cpu=clock / count,
        megabytes=grown / count,
        fps=statistics.median(each["frames"] for each in counts) / passed,
        gap_ms=1000 * max(each["gap"] for each in counts),
        kilobits=statistics.median(each["octets"] for each in counts) * 8 / passed / 1000,
        lost=int(sum(each["lost"] for each in counts)),
    )


def _only(playout: Playout) -> Callable[[int], None]:
    """Drive a playout that nobody watches."""

    def drive(frame: int) -> None:
        playout.tick(frame)

    return drive


def _drive(peer: Peer, playout: Playout) -> Callable[[int], None]:
    def drive(frame: int) -> None:
        peer.send(playout.tick(frame))

    return drive


@dataclass
class Kept:
    """What a process has."""

    megabytes: float
    descriptors: int
    tasks: int
    threads: int


def kept() -> Kept:
    return Kept(
        memory(),
        len(list(Path("/proc/self/fd").iterdir())),
        len(asyncio.all_tasks()),
        threading.active_count(),
    )


async def cycles(pipe: Connection, count: int, loop: Any) -> list[tuple[int, Kept]]:
    """Connect, watch half a second, leave; again and again."""
    found = []
    pump = Pump()
    for number in range(count + 1):
        if number in (0, 10, count // 2, count):
            await asyncio.sleep(0.3)
            found.append((number, kept()))
        if number == count:
            break
        sessions = await connect(pipe, 1)
        playout = Playout(loop, listener=Nobody())
        driven = pump.add(_drive(sessions[0].peer, playout), asyncio.get_running_loop().time())
        await asyncio.sleep(0.1)
        pump.remove(driven)
        await disconnect(pipe, sessions)
    pump.close()
    return found


async def work(pipe: Connection, loop_file: bytes, plan: Plan) -> tuple[list[Row], list[tuple[int, Kept]]]:
    loop = IdleLoop(access_units(loop_file))
    await disconnect(pipe, await connect(pipe, 2))  # whatever is loaded once
    rows = [await measure(pipe, count, plan.seconds, loop) for count in plan.counts]
    await asyncio.sleep(1)
    return rows, await cycles(pipe, plan.cycles, loop)


INTRODUCTION = """\
# Peers

One process sends the idle loop of an avatar (512x640, 25 fps, an IDR frame every 200 ms) to clients in
another process, with the clock, playout and peers of the real thing. Percent of one core and megabytes
are those of the sending process, for each session. In the fourth column every client sends its microphone
as well (20 ms packets, decoded here to 16 kHz). Written by `python -m docs.benchmarks.peer`.

| Sessions | idle, % of a core | of which clock and playout | microphone on, % of a core | MB | fps received \
| longest gap, ms | kbit/s | packets lost |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|
"""


def page(rows: list[Row], found: list[tuple[int, Kept]], seconds: float) -> str:
    lines = [*INTRODUCTION.splitlines()]
    lines += [
        f"| {r.sessions} | {r.idle_cpu:.2f} | {r.clock_cpu:.2f} | {r.speaking_cpu:.2f} | {r.megabytes:.2f} "
        f"| {r.fps:.2f} | {r.gap_ms:.0f} | {r.kilobits:.0f} | {r.lost} |"
        for r in rows
    ]
    lines += [
        "",
        "Connecting and leaving, one after the other:",
        "",
        "| Connections so far | MB of the process | descriptors | tasks | threads |",
        "|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {number} | {each.megabytes:.1f} | {each.descriptors} | {each.tasks} | {each.threads} |"
        for number, each in found
    ]
    cores = os.cpu_count()
    lines += ["", f"Measured in {seconds:.0f} s on {cores} cores, the clients on the same machine.", ""]
    return "\n".join(lines)


def main() -> int:
    quick = "--quick" in sys.argv
    plan = Plan((16, 60), 6.0, 20) if quick else Plan((1, 16, 32, 60), 15.0, 200)
    began = time.monotonic()
    stored = next((Path(a) for a in sys.argv[1:] if a.endswith(".mp4")), None)
    loop_file = stored.read_bytes() if stored else make_loop()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=clients, args=(theirs,), daemon=True)
    child.start()
    rows, found = asyncio.run(work(ours, loop_file, plan))
    ours.send(None)
    child.join(5)
    text = page(rows, found, time.monotonic() - began)
    if not quick:
        PAGE.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
