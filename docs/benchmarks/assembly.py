"""Measures assembly: `python docs/benchmarks/assembly.py`.

Assembles clips of 2 and of 10 minutes from one fragment of a moving picture, each in a process of
its own, and prints speed and memory as the table of assembly.md. The sound is prepared before, as
in a clip.
"""

# ruff: noqa: E402 - it runs from any folder, so the path comes before the imports

import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from workers.rendering.aac import AacEncoder
from workers.rendering.assemble import assemble
from workers.rendering.encode import encode_fragment
from workers.rendering.probe import inspect

WIDTH, HEIGHT, PART = 512, 640, 75


def fragment() -> bytes:
    """Return 3 s at a usual rate: a textured picture of which a part moves."""
    rng = np.random.default_rng(1)
    still = np.clip(rng.normal(120, 12, (HEIGHT * 3 // 2, WIDTH)), 16, 235).astype(np.uint8)

    def pictures() -> Iterator[np.ndarray]:
        for number in range(PART):
            picture = still.copy()
            picture[300:420, 180:330] = np.roll(still[300:420, 180:330], number * 3, axis=0)
            yield picture

    return encode_fragment(pictures(), width=WIDTH, height=HEIGHT, crf=26).data


def peak_kb() -> int:
    """Return the most memory that this process, and not the one that started it, has used."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def one(folder: Path, minutes: int) -> None:
    part, count = folder / "part.mp4", minutes * 60 * 25 // PART
    parts = (part.read_bytes() for _ in range(count))
    before = peak_kb()
    begun = time.perf_counter()
    done = assemble(parts, folder / f"{minutes}.m4a", folder / f"{minutes}.mp4")
    seconds = time.perf_counter() - begun
    grown = peak_kb() - before
    tracemalloc.start()
    assemble((part.read_bytes() for _ in range(count)), folder / f"{minutes}.m4a", folder / f"{minutes}.mp4")
    peak = tracemalloc.get_traced_memory()[1]
    print(
        json.dumps(
            {"seconds": seconds, "rss_kb": grown, "peak": peak, "bytes": done.bytes, "ms": done.duration_ms}
        )
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "part.mp4").write_bytes(fragment())
        print(
            "| clip | file | time | times realtime | RSS growth | Python allocations, peak |\n"
            + "|---" * 6
            + "|"
        )
        for minutes in (2, 10):
            sound = np.random.default_rng(2).normal(0, 2000, minutes * 60 * 48_000).astype("<i2")
            with AacEncoder(folder / f"{minutes}.m4a") as encoder:
                encoder.push(sound.tobytes())
            command = [sys.executable, __file__, name, str(minutes)]
            runs = [json.loads(subprocess.check_output(command)) for _ in range(3)]
            best = min(runs, key=lambda run: run["seconds"])
            print(
                f"| {minutes} min | {best['bytes'] / 1e6:.1f} MB | {best['seconds'] * 1000:.0f} ms "
                f"| {best['ms'] / 1000 / best['seconds']:.0f} | {best['rss_kb'] / 1024:.1f} MB "
                f"| {best['peak'] / 1e6:.2f} MB |"
            )
        seen = inspect(folder / "10.mp4")
        print(
            f"\nDecoded: {seen.frames} frames, {seen.errors} damaged; "
            f"pictures {float(seen.video_seconds):.3f} s, sound {float(seen.audio_seconds):.3f} s"
        )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        one(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main()
