"""Measures what drawing on a server costs beside the server: `python docs/benchmarks/remote.py`.

A process of its own answers each chunk of sound at once with pictures that it made before, so that
everything measured is ours: the envelope, the WebSocket, the checks and the account of frames. The
library alone, with no check, takes turns with it. Decoding the JPEGs and encoding the fragment are work
of every fragment, remote or not, and are told beside it. Writes remote.md.
"""

# ruff: noqa: E402 - it runs from any folder, so the path comes before the imports

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.flashtalk import flashtalk
from workers.adapters.avatar.remote import decoding, framing
from workers.adapters.avatar.remote.audio2video import Audio2Video
from workers.adapters.avatar.remote.client import Client
from workers.adapters.avatar.remote.feed import Feed
from workers.adapters.avatar.remote.gate import Gate
from workers.rendering.encode import FragmentEncoder

PICTURE = ROOT / "tests" / "data" / "astronaut.jpg"
TURNS = 60
QUALITY = 85
GOAL_MS = 3.0


@dataclass(frozen=True)
class Row:
    model: str
    frames: int
    width: int
    height: int
    watched: bool


ROWS = (
    Row("flashtalk", 28, 416, 704, watched=True),
    Row("flashhead (lite)", 24, 512, 512, watched=True),
    Row("musetalk", 25, 512, 640, watched=False),
    Row("fasterliveportrait", 12, 448, 900, watched=False),
    Row("wav2lip", 8, 512, 640, watched=False),
    Row("quicktalk", 4, 512, 640, watched=False),
)


def picture(width: int, height: int, turn: int = 0) -> np.ndarray:
    """The portrait, a little larger each turn: no two JPEGs are the same."""
    found = cv2.imread(str(PICTURE))
    if found is None:
        raise FileNotFoundError(PICTURE)
    large = decoding.covering(np.asarray(found, np.uint8), width + 2 * turn, height + 2 * turn)
    return np.ascontiguousarray(large[turn : turn + height, turn : turn + width])


def jpegs(row: Row) -> list[bytes]:
    flags = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    return [
        bytes(cv2.imencode(".jpg", picture(row.width, row.height, turn), flags)[1].tobytes())
        for turn in range(row.frames)
    ]


def serve(row: Row, to: Connection) -> None:
    """A server without a model and without work: each answer lies ready."""
    answer = framing.video(jpegs(row))
    settings = {"width": row.width, "height": row.height, "frame_num": row.frames, "motion_frames_num": 0}
    with flashtalk(ready=answer, **settings) as server:
        to.send(server.url)
        to.recv()


class Bare:
    """The WebSocket library alone."""

    def __init__(self, url: str, opening: str, row: Row) -> None:
        self._socket: ClientConnection = connect(
            url, max_size=framing.MAX_MESSAGE_BYTES, compression=None, proxy=None, legacy=True
        )
        self._socket.send(opening)
        self._socket.recv()
        self._sound = framing.audio(np.zeros(row.frames * 640, np.int16))

    def __call__(self) -> None:
        self._socket.send(self._sound)
        self._socket.recv()

    def close(self) -> None:
        self._socket.close()


class Ours:
    """The client as renderers use it."""

    def __init__(self, url: str, opening: str, row: Row) -> None:
        scene = picture(row.width, row.height) if row.watched else None
        self._feed = Feed(partial(_begun, url, opening), provider=row.model, inspect=Gate(row.model, scene))
        self._sound, self._frames = np.zeros(row.frames * 640, np.int16), row.frames
        self._next = 0
        self()

    def __call__(self) -> None:
        self._feed.send(self._sound)
        while self._feed.waiting:
            self._feed.receive()
        for frame in range(self._next, self._next + self._frames):
            if self._feed.take(frame) is None:
                raise RuntimeError("a picture is missing")
        self._next += self._frames

    def close(self) -> None:
        self._feed.close()


def _begun(url: str, opening: str) -> Client:
    client = Client(url, {}, Audio2Video(), provider="benchmark")
    client.begin(opening)
    return client


@dataclass(frozen=True)
class Figures:
    bytes: int
    wall_ms: float
    bare_ms: float
    cpu_ms: float
    bare_cpu_ms: float
    decode_ms: float
    encode_ms: float


def measured(row: Row) -> Figures:
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(row, there), daemon=True)
    process.start()
    try:
        url = here.recv()
        opening = Audio2Video().opening(jpegs(replace(row, frames=1))[0], {})
        ours, bare = Ours(url, opening, row), Bare(url, opening, row)
        walls, cpus = _turns([ours, bare])
        ours.close()
        bare.close()
    finally:
        here.send("")
        process.join(10)
    pictures = jpegs(row)
    decode, encode = _drawn(row, pictures)
    return Figures(sum(map(len, pictures)), walls[0], walls[1], cpus[0], cpus[1], decode, encode)


def _turns(works: list[Callable[[], None]]) -> tuple[list[float], list[float]]:
    """Medians of wall time and of this process's CPU time, in ms."""
    walls: list[list[float]] = [[] for _ in works]
    cpus: list[list[float]] = [[] for _ in works]
    for _ in range(TURNS):
        for place, work in enumerate(works):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            walls[place].append((time.perf_counter() - wall) * 1000)
            cpus[place].append((time.process_time() - cpu) * 1000)
    return [statistics.median(each) for each in walls], [statistics.median(each) for each in cpus]


def _drawn(row: Row, pictures: list[bytes]) -> tuple[float, float]:
    """CPU time of decoding and of encoding one frame, in ms."""
    decoded, encoded = [], []
    for _ in range(5):
        began = time.thread_time()
        drawn = [decoding.drawn(jpeg, row.width, row.height, row.model) for jpeg in pictures]
        decoded.append((time.thread_time() - began) * 1000 / len(pictures))
        encoder = FragmentEncoder(width=row.width, height=row.height)
        began = time.thread_time()
        for frame in drawn:
            encoder.push(frame)
        encoder.finish()
        encoded.append((time.thread_time() - began) * 1000 / len(pictures))
    return statistics.median(decoded), statistics.median(encoded)


def page(found: dict[Row, Figures]) -> str:
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    lines = [
        "# Drawing on a server",
        "",
        f"`python docs/benchmarks/remote.py`, {machine} beside it.",
        f"JPEGs of quality {QUALITY}; medians of {TURNS} chunks, in turn with the WebSocket library alone on",
        "the same server, which answers at once with pictures made before.",
        "",
        "| model | frames | size | kB | client, ms | library, ms | client, CPU ms | library, CPU ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row, one in found.items():
        lines.append(
            f"| {row.model} | {row.frames} | {row.width}x{row.height} | {one.bytes / 1000:.0f} "
            f"| {one.wall_ms:.2f} | {one.bare_ms:.2f} | {one.cpu_ms:.2f} | {one.bare_cpu_ms:.2f} |"
        )
    lines += ["", "| model | decoding, CPU ms/frame | encoding, CPU ms/frame |", "|---|---|---|"]
    for row, one in found.items():
        lines.append(f"| {row.model} | {one.decode_ms:.2f} | {one.encode_ms:.2f} |")
    wall = max(one.wall_ms - one.bare_ms for one in found.values())
    cpu = max(one.cpu_ms - one.bare_cpu_ms for one in found.values())
    lines += [
        "",
        f"- The goal is at most {GOAL_MS:g} ms for each fragment beyond the service. Our code adds at most",
        f"  {wall:.2f} ms ({cpu:.2f} ms of CPU) to what the library needs to carry the bytes on loopback.",
        "- FlashTalk's and FlashHead's servers have one session for everybody, so a picture of each chunk is",
        "  looked at, an eighth of its size, to see that the scene is still ours: that is in their rows.",
        "- Decoding and encoding happen while the server draws the next chunk; they are no delay as long as",
        "  both together take less than 40 ms a frame.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    found = {row: measured(row) for row in ROWS}
    text = page(found)
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
