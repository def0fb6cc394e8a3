"""What recording costs: `python -m docs.benchmarks.recording` writes recording.md.

Starts the built-in storage alone, has recorders write to it as the host of a session does, and joins
the parts of a short and of a long session. CPU seconds hold on a busy machine too.
"""

# ruff: noqa: PLC0415 - half of it runs with the settings of a stack, known only then

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path(__file__).with_suffix(".md")
SECONDS = 20
SESSIONS = (1, 10)
MINUTES = (3, 30)
SIZE = (512, 640)
FRAGMENT_FRAMES = 25
PART_FRAMES = 75
HEAD = """# Recording

`python -m docs.benchmarks.recording`, on two cores that other work kept busy: CPU time, and relations
between rows, mean something.

While a session goes on, against the built-in storage (feeding the recorder is counted, which is most of
the first row)

| sessions | idle, % of a core each | speaking, % of a core each |
|---|---|---|
"""
JOINING = """
Joining at 512x640, half of the time spoken, the customer always

| minutes | reading s | sound s | pictures s | MB | most memory, MB |
|---|---|---|---|---|---|
"""


def main() -> int:
    if sys.argv[1:2] == ["inside"]:
        print(*inside(sys.argv[2:]))
        return 0
    from project.bench.stack import EmbeddedStack

    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as folder,
        EmbeddedStack(Path(folder) / "home", ("storage",)) as stack,
    ):
        environment = stack.environment() | {"DJANGO_SETTINGS_MODULE": "project.settings"}
        environment.pop("READY_FILE", None)

        def run(*arguments: object) -> str:
            command = [sys.executable, "-m", "docs.benchmarks.recording", "inside", *map(str, arguments)]
            return subprocess.check_output(command, cwd=ROOT, env=environment, text=True).strip()

        writing = [f"| {n} | {run('write', n, 'idle')} | {run('write', n, 'speaking')} |" for n in SESSIONS]
        joining = [f"| {n} | {run('join', n)} |" for n in MINUTES]
    PAGE.write_text(HEAD + "\n".join(writing) + "\n" + JOINING + "\n".join(joining) + "\n", encoding="utf-8")
    return 0


def inside(arguments: list[str]) -> list[str]:
    import django

    django.setup()
    if arguments[0] == "write":
        return [f"{asyncio.run(write(int(arguments[1]), speaking=arguments[2] == 'speaking')):.2f}"]
    return [" | ".join(join(int(arguments[1])))]


async def write(sessions: int, *, speaking: bool) -> float:
    """Percent of a core for each session."""
    from rtc.frames import PlayedRun
    from sessions.recording.recorder import Recorder
    from storage.s3 import store

    store().ensure_bucket()
    recorders = [Recorder(f"ses_{number}", 1) for number in range(sessions)]
    microphone, fragment, sound = os.urandom(640), os.urandom(110_000), bytes(3840 * FRAGMENT_FRAMES)
    spent, begun = time.process_time(), time.monotonic()
    for frame in range(SECONDS * 25):
        for recorder in recorders:
            recorder.microphone(microphone, (frame + 1) * 40)
            recorder.microphone(microphone, (frame + 1) * 40)
            first = frame + 1 - FRAGMENT_FRAMES
            if first % FRAGMENT_FRAMES:
                continue
            tag = recorder.fragment(fragment, sound, 0) if speaking else None
            kind = "speech" if speaking else "idle"
            recorder.played(PlayedRun(first, FRAGMENT_FRAMES, kind, 0, tag, 0))
        await asyncio.sleep(max(0.0, begun + (frame + 1) * 0.040 - time.monotonic()))
    share = (time.process_time() - spent) / SECONDS / sessions * 100
    await asyncio.gather(*(recorder.close() for recorder in recorders))
    return share


def join(minutes: int) -> list[str]:
    """Seconds of CPU for each step, the size of the film, and the most memory."""
    from sessions.recording import soundtrack
    from sessions.recording.reel import Reel
    from workers.rendering.assemble import assemble
    from workers.rendering.encode import encode_idle

    width, height = SIZE
    loop = encode_idle(map(picture, range(250)), width=width, height=height, crf=32).data
    session = f"ses_long{minutes}"
    lay(session, minutes)
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        folder, times = Path(name), [time.process_time()]
        reel = Reel.read(session, folder, lambda: None)
        times.append(time.process_time())
        sound = folder / "a.m4a"
        soundtrack.encode(sound, reel.frames, reel.speech(), reel.strips(), layout="stereo")
        times.append(time.process_time())
        made = assemble(reel.pieces(loop), sound, folder / "v.mp4")
        times.append(time.process_time())
    steps = [f"{after - before:.1f}" for before, after in pairwise(times)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return [*steps, f"{made.bytes / 1e6:.0f}", str(memory)]


def lay(session: str, minutes: int) -> None:
    """Store the parts of a session."""
    from sessions.recording.parts import Run, Sheet, pack
    from storage import recordings
    from storage.s3 import store
    from workers.rendering.encode import encode_fragment

    store().ensure_bucket()
    width, height = SIZE
    pictures = map(picture, range(FRAGMENT_FRAMES))
    fragment = encode_fragment(pictures, width=width, height=height, crf=32).data
    noise = np.random.default_rng(0)
    speech = (noise.normal(size=1920 * FRAGMENT_FRAMES) * 3000).astype("<i2").tobytes()
    customer = (noise.normal(size=640 * PART_FRAMES) * 2000).astype("<i2").tobytes()
    for number, begin in enumerate(range(0, minutes * 1500, PART_FRAMES)):
        sheet = Sheet(microphone=[(begin * 640, customer)])
        for frame in range(begin, begin + PART_FRAMES, FRAGMENT_FRAMES):
            take = frame // FRAGMENT_FRAMES
            if take % 2:
                sheet.takes.append((take, fragment))
                sheet.speech.append((frame, speech))
            sheet.runs.append(Run(frame, FRAGMENT_FRAMES, take if take % 2 else -1, 0))
        recordings.put_part(session, 1, number, pack(sheet))


@cache
def texture() -> NDArray[np.uint8]:
    width, height = SIZE
    blocks = np.random.default_rng(1).integers(90, 150, (height * 3 // 2 // 32, width // 32), dtype=np.uint8)
    return np.repeat(np.repeat(blocks, 32, 0), 32, 1)


def picture(number: int) -> NDArray[np.uint8]:
    """Something that moves a little, so that fragments are about as large as those of an avatar."""
    return np.roll(texture(), number % 5, axis=1)


if __name__ == "__main__":
    sys.exit(main())
