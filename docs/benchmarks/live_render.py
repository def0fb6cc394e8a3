"""Measures live rendering alone: `python -m docs.benchmarks.live_render`.

Starts the broker, the store and two live workers, and asks them as the process of a session does, for
the portrait at 512x640. Writes live_render.md. Wall-clock figures mean something on a machine that does
nothing else; CPU figures, counted for each process, hold on a busy one too.
"""

# ruff: noqa: PLC0415, TID251 - half of it runs beside a stack, whose settings are known only then

import asyncio
import base64
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path(__file__).with_suffix(".md")
PORTRAIT = ROOT / "tests" / "data" / "portraits" / "mei.jpg"
KEY = "avatars/avt_bench/v0001/bundle.bin"
TURNS = 60
SPEAKING = (1, 4, 8, 12)
SPEAK_SECONDS = 15
INTERRUPTIONS = 25
TICK = os.sysconf("SC_CLK_TCK")


def main() -> int:
    if sys.argv[1:2] == ["inside"]:
        return inside(Path(sys.argv[2]))
    from project.bench.stack import EmbeddedStack

    cv2.setNumThreads(1)
    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as folder,
        EmbeddedStack(Path(folder) / "home", ("valkey", "storage", "migrate", "live")) as stack,
    ):
        out = Path(folder) / "figures.json"
        pids = {name: stack.pid(name) for name in ("live1", "live2", "valkey")}
        command = [sys.executable, "-m", "docs.benchmarks.live_render", "inside", str(out)]
        environment = stack.environment() | {"OMP_NUM_THREADS": "1", "BENCH_PIDS": json.dumps(pids)}
        environment.pop("READY_FILE", None)
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        figures = json.loads(out.read_text())
    PAGE.write_text(page(figures), encoding="utf-8")
    return 0


def inside(out: Path) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    import django

    django.setup()
    bundle, size = _bundle()
    _store(bundle)
    figures = {"size": size, "load": os.getloadavg()[0], "parts": render_parts(bundle)}
    figures["wire"] = wire_parts()
    figures |= asyncio.run(measure(hashlib.sha256(bundle).hexdigest(), size))
    out.write_text(json.dumps(figures))
    return 0


def _bundle() -> tuple[bytes, tuple[int, int]]:
    from tests.support import models
    from workers.adapters.avatar.base import Still

    prepared = models.preparer("viseme").prepare(Still(np.asarray(cv2.imread(str(PORTRAIT)), np.uint8)))
    return prepared.bundle, (prepared.width, prepared.height)


def _store(bundle: bytes) -> None:
    from storage.errors import StorageError
    from storage.s3 import store

    for _ in range(100):
        try:
            store().ensure_bucket()
            store().put_bytes(KEY, bundle, "application/octet-stream")
            return
        except StorageError:  # the S3 port answers a little before its volumes do
            time.sleep(0.2)
    raise SystemExit("The store did not take the bundle")


def sound(number: int, frames: int) -> bytes:
    """Noise that comes and goes three times a second, as syllables do; s16le at 16 kHz."""
    samples = 16_000 + frames * 640 + 2_560
    loudness = 1500 + 1500 * np.sin((np.arange(samples) + number * 640) / 16_000 * 2 * np.pi * 3)
    noise = np.random.default_rng(number).normal(size=samples)
    return bytes((noise * loudness).astype(np.int16).tobytes())


# --- In one process ----------------------------------------------------------------------------------


def render_parts(bundle: bytes) -> dict[str, dict[str, float]]:
    """CPU ms of each step of a request in the worker, medians."""
    from tests.support import models
    from workers.adapters.avatar.base import AudioWindow

    renderer = models.renderer("viseme")
    avatar = renderer.load(bundle)

    def once(start: int, frames: int) -> list[float]:
        pcm = np.frombuffer(sound(start, frames), np.int16)
        return _steps(renderer, avatar, AudioWindow(pcm, 16_000, 2_560, start, frames))

    for turn in range(50):
        once(turn * 5, 5)
    names = ("hear", "open", "draw", "encode", "finish")
    return {
        str(frames): dict(
            zip(
                names,
                map(statistics.median, zip(*(once(t * frames, frames) for t in range(TURNS)), strict=True)),
                strict=True,
            )
        )
        for frames in (5, 25)
    }


def _steps(renderer: Any, avatar: Any, window: Any) -> list[float]:
    from workers.rendering.encode import FragmentEncoder

    now = time.thread_time
    begun = now()
    stream = renderer.open_stream(avatar, start_frame=window.start_frame)
    poses = renderer.infer(stream, renderer.extract_features(stream, window))
    heard = now()
    encoder = FragmentEncoder(width=avatar.width, height=avatar.height)
    opened, drawing, encoding = now(), 0.0, 0.0
    for pose in poses:
        before = now()
        picture = renderer.compose_frame(stream, pose)
        between = now()
        encoder.push(picture)
        drawing, encoding = drawing + between - before, encoding + now() - between
    before = now()
    encoder.finish()
    parts = (heard - begun, opened - heard, drawing, encoding, now() - before)
    return [part * 1000 for part in parts]


def wire_parts() -> dict[str, float]:
    """CPU ms to write and to read the message of five frames, and what the sound inside it would cost."""
    from workers import dispatch
    from workers.live import wire

    request = wire.RenderRequest(
        session="ses_1", incarnation="i", epoch=0, number=1, reply_to="r", model="viseme", bundle_key=KEY,
        bundle_sha256="0" * 64, width=512, height=640, start_frame=0, frames=5, pcm16k=sound(0, 5),
        lookback=16_000, lookahead=2_560, phones=(), crf=23, published_at=0, deadline_at=0,
    )  # fmt: skip
    text = wire.dump_request(request)
    message = dispatch.live_message("live.viseme", text)[1]

    def read() -> None:
        wire.with_sound(wire.load_request(json.loads(json.loads(message)["body"])[0][0]), request.pcm16k)

    def inside() -> None:
        """With the sound in the message: base64 in JSON in base64 in JSON, and all of it back."""
        body = json.dumps([[text, base64.b64encode(request.pcm16k).decode()], {}, {}]).encode()
        sent = json.dumps({"body": base64.b64encode(body).decode()})
        base64.b64decode(json.loads(base64.b64decode(json.loads(sent)["body"]))[0][1])

    return {
        "write": _cpu_ms(lambda: dispatch.live_message("live.viseme", wire.dump_request(request))),
        "read": _cpu_ms(read),
        "inside": _cpu_ms(inside),
        "raw_bytes": len(request.pcm16k),
    }


def _cpu_ms(work: Callable[[], Any], turns: int = 300) -> float:
    begun = time.thread_time()
    for _ in range(turns):
        work()
    return (time.thread_time() - begun) * 1000 / turns


# --- Over the broker ---------------------------------------------------------------------------------


class Asker:
    def __init__(self, client: Any, sha256: str, size: tuple[int, int]) -> None:
        self._client = client
        self._known: dict[str, Any] = {"model": "viseme", "bundle_key": KEY, "bundle_sha256": sha256}
        self._known |= {"width": size[0], "height": size[1], "lookback": 16_000, "lookahead": 2_560}
        self._number = 0

    async def one(self, frames: int, *, session: str = "ses_1", epoch: int = 0, start: int = 0) -> Any:
        """Return (milliseconds, reply)."""
        self._number += 1
        pcm = sound(self._number, frames)
        begun = time.perf_counter()
        reply = await self._client.render(
            **self._known,
            session=session,
            epoch=epoch,
            number=self._number,
            start_frame=start,
            frames=frames,
            pcm16k=pcm,
        )
        return (time.perf_counter() - begun) * 1000, reply


async def measure(sha256: str, size: tuple[int, int]) -> dict[str, Any]:
    from workers.live.client import RenderClient

    client = RenderClient("bench")
    await client.start()
    asker = Asker(client, sha256, size)
    client.warm(model="viseme", bundle_key=KEY, bundle_sha256=sha256)
    await asyncio.sleep(3)
    for turn in range(20):
        await asker.one(5, start=turn * 5)
    latency = {str(frames): await _latency(asker, frames) for frames in (5, 10, 25)}
    interrupted = await _interruptions(client, asker)
    speaking = {str(count): await _speaking(asker, count) for count in SPEAKING}
    await client.close()
    return {"latency": latency, "interrupted": interrupted, "speaking": speaking}


async def _latency(asker: Asker, frames: int) -> dict[str, float]:
    rows = []
    for turn in range(TURNS):
        rows.append(await asker.one(frames, start=turn * frames))
        await asyncio.sleep(0.02)
    totals = sorted(row[0] for row in rows)
    middle = {
        "total": statistics.median(totals),
        "late": totals[int(TURNS * 0.95)],
        "queue": statistics.median(reply.queue_ms for _, reply in rows),
        "render": statistics.median(reply.render_ms for _, reply in rows),
        "back": statistics.median(total - r.queue_ms - r.render_ms for total, r in rows),
        "bytes": statistics.median(len(reply.data) for _, reply in rows),
    }
    return middle | {"kbits": middle["bytes"] * 8 / frames * 25 / 1000}


async def _interruptions(client: Any, asker: Asker) -> dict[str, float]:
    """Both workers draw a second of speech; how long does the first fragment of the next epoch take?"""
    from workers.live.client import RenderCancelled

    took = []
    for epoch in range(INTERRUPTIONS):
        old = [asyncio.create_task(asker.one(25, session="ses_i", epoch=epoch)) for _ in range(2)]
        await asyncio.sleep(0.03)
        client.cancel("ses_i", epoch)
        begun = time.perf_counter()
        await asker.one(5, session="ses_i", epoch=epoch + 1)
        took.append((time.perf_counter() - begun) * 1000)
        for one in await asyncio.gather(*old, return_exceptions=True):
            if not isinstance(one, RenderCancelled | tuple):
                raise one
    return {"median": statistics.median(took), "late": sorted(took)[int(INTERRUPTIONS * 0.95)]}


async def _speaking(asker: Asker, count: int) -> dict[str, float]:
    """Sessions that speak at once: each asks for a second at a time, two ahead of what it plays."""
    pids: dict[str, int] = json.loads(os.environ["BENCH_PIDS"])
    before, own = {name: _cpu(pid) for name, pid in pids.items()}, time.process_time()
    loop = asyncio.get_running_loop()
    took: list[float] = []
    lateness: list[float] = []

    async def session(place: int) -> None:
        await asyncio.sleep(place / count)
        begun = loop.time()
        for second in range(SPEAK_SECONDS):
            await asyncio.sleep(max(0.0, begun + second - 2 - loop.time()))
            took.append((await asker.one(25, session=f"ses_{count}_{place}", start=second * 25))[0])
            # The first is played when it comes; each further one has to be there a second later.
            if second == 0:
                begun = loop.time()
            else:
                lateness.append(max(0.0, loop.time() - begun - second))

    began = time.monotonic()
    await asyncio.gather(*(session(place) for place in range(count)))
    seconds, spoken = time.monotonic() - began, count * SPEAK_SECONDS
    used = {name: _cpu(pid) - before[name] for name, pid in pids.items()}
    return {
        "median": statistics.median(took),
        "late": sorted(took)[int(len(took) * 0.95)],
        "missed": sum(late > 0 for late in lateness),
        "seconds": seconds,
        "worker_ms": (used["live1"] + used["live2"]) * 1000 / spoken,
        "broker_ms": used["valkey"] * 1000 / spoken,
        "host_ms": (time.process_time() - own) * 1000 / spoken,
    }


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


# --- The page ----------------------------------------------------------------------------------------


def page(figures: dict[str, Any]) -> str:
    width, height = figures["size"]
    parts, wire = figures["parts"], figures["wire"]
    most = figures["speaking"][str(SPEAKING[-1])]
    latency = [
        f"| {frames} | {row['total']:.1f} | {row['late']:.1f} | {row['queue']:.1f} | {row['render']:.1f} "
        f"| {row['back']:.1f} | {row['bytes'] / 1000:.0f} | {row['kbits']:.0f} |"
        for frames, row in figures["latency"].items()
    ]
    steps = [
        f"| {frames} | {' | '.join(f'{ms:.1f}' for ms in row.values())} | {sum(row.values()):.1f} |"
        for frames, row in parts.items()
    ]
    speaking = [
        f"| {count} | {row['median']:.0f} | {row['late']:.0f} | {row['missed']:.0f} | {row['worker_ms']:.0f} "
        f"| {row['broker_ms']:.1f} | {row['host_ms']:.1f} |"
        for count, row in figures["speaking"].items()
    ]
    return PAGE_TEXT.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        cores=os.cpu_count(),
        load=figures["load"],
        size=f"{width}x{height}",
        latency="\n".join(latency),
        steps="\n".join(steps),
        speaking="\n".join(speaking),
        raw_kb=wire["raw_bytes"] / 1000,
        most=most["worker_ms"],
        carried=1000 / most["worker_ms"],
        interrupted=figures["interrupted"]["median"],
        interrupted_late=figures["interrupted"]["late"],
        **{name: wire[name] for name in ("write", "read", "inside")},
    )


PAGE_TEXT = """# Live rendering

Written by `python -m docs.benchmarks.live_render` on {date}: {cores} cores, load average {load:.1f} when
it began (more than 1 is other work, which the wall-clock figures include). Model `viseme`, {size}, two live
workers.

## From request to reply, one at a time

| frames | median ms | 95% ms | until picked up | drawn and encoded | back | kB | kbit/s |
|---|---|---|---|---|---|---|---|
{latency}

The goal is 40 ms for five frames. Writing their message costs {write:.2f} ms of CPU, reading it {read:.2f}.
The {raw_kb:.0f} kB of sound lie beside it: inside it they would cost {inside:.2f} ms more, and twice
the bytes in the copy that Celery keeps of what is not acknowledged yet.

CPU ms of the steps in the worker, medians:

| frames | hear | open x264 | draw | encode | finish | all |
|---|---|---|---|---|---|---|
{steps}

After an interruption, with both workers drawing a second of the old epoch, the first five frames of the
next one take {interrupted:.0f} ms (95%: {interrupted_late:.0f} ms).

## Sessions that speak at once

Each asks for a second of speech at a time, up to two seconds before it is played. CPU is for each second
spoken; the host's includes making this benchmark's noise.

| sessions | median ms | 95% ms | came too late | workers, CPU ms | broker, CPU ms | host, CPU ms |
|---|---|---|---|---|---|---|
{speaking}

A second of speech takes {most:.0f} ms of a worker, so one worker with a core of its own would carry
{carried:.0f} sessions with nothing to spare. `live_slots` is 8.
"""


if __name__ == "__main__":
    sys.exit(main())
