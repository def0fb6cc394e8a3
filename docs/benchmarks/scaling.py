"""How far two render processes scale on this machine with nothing of the stack beside them.

`python -m docs.benchmarks.scaling` prints seconds for a minute of 512x640 fragments in one process,
then in two processes at once, and the ratio of their throughputs.
"""

import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from tests.support import models
from workers.adapters.avatar.base import SAMPLES_PER_FRAME, AudioWindow, Still
from workers.rendering.fragment import render_fragment

PORTRAIT = Path(__file__).parents[2] / "tests" / "data" / "portraits" / "mei.jpg"
FRAMES = 75
FRAGMENTS = 20
PREPARE_SECONDS = 10


def work(start_at: float) -> float:
    """Load and warm up, wait for the common start, render a minute; return its seconds."""
    image = np.asarray(cv2.imread(str(PORTRAIT)), dtype=np.uint8)
    prepared = models.preparer("viseme").prepare(Still(image))
    renderer = models.renderer("viseme")
    avatar, profile = renderer.load(prepared.bundle), renderer.profile
    samples = profile.lookback_samples + FRAMES * SAMPLES_PER_FRAME + profile.lookahead_samples
    loudness = 1500 + 1500 * np.sin(np.arange(samples) / 16_000 * 2 * np.pi * 3)
    pcm = (np.random.default_rng(0).normal(size=samples) * loudness).astype(np.int16)

    def one(number: int) -> None:
        first = number * FRAMES
        window = AudioWindow(pcm, profile.lookback_samples, profile.lookahead_samples, first, FRAMES)
        stream = renderer.open_stream(avatar, start_frame=first)
        render_fragment(renderer, stream, window, width=prepared.width, height=prepared.height)

    for number in range(4):
        one(number)
    time.sleep(max(0.0, start_at - time.time()))
    begun = time.perf_counter()
    for number in range(FRAGMENTS):
        one(number)
    return time.perf_counter() - begun


def run(processes: int) -> float:
    """Run so many workers at once; the mean of their seconds."""
    command = [sys.executable, "-m", "docs.benchmarks.scaling", str(time.time() + PREPARE_SECONDS)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return sum(float(one.communicate()[0]) for one in started) / processes


def main() -> int:
    if len(sys.argv) > 1:
        print(work(float(sys.argv[1])))
        return 0
    alone, beside = run(1), run(2)
    print(f"one process {alone:.2f} s, two at once {beside:.2f} s each: {2 * alone / beside:.2f} times one")
    return 0


if __name__ == "__main__":
    sys.exit(main())
