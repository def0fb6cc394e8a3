"""Measures encoding, and what stands around it: `python docs/benchmarks/encode.py`.

Draws 10 s of a talking portrait at 512x640 with the `viseme` model, then takes turns between x264
alone, the whole pipeline and its parts, so that a busy machine slows all of them alike; prints
medians of CPU time for one frame as the tables of encode.md, then what the x264 settings buy.
"""

# ruff: noqa: E402 - it runs from any folder, so the path comes before the imports

import statistics
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.support import models
from workers.adapters.avatar.base import AudioWindow, Still
from workers.rendering.aac import AacCodec
from workers.rendering.canvas import Canvas, layout
from workers.rendering.captions import CaptionOverlay, Cue
from workers.rendering.encode import X264, encode_fragment
from workers.rendering.fragment import render_fragment

WIDTH, HEIGHT, FRAMES, PART = 512, 640, 225, 75
TURNS = 7
PICTURE = ROOT / "tests" / "data" / "astronaut.jpg"


def speech(frames: int, rate: int = 16_000) -> np.ndarray:
    """Return syllables of noise and tone with pauses between phrases."""
    moment = np.arange(frames * rate // 25) / rate
    phase = 2 * np.pi * np.cumsum(150 + 30 * np.sin(2 * moment)) / rate
    tone = np.sin(phase) + 0.5 * np.sin(3 * phase) + 0.3 * np.sin(9 * phase)
    syllables = np.maximum(0, np.sin(2 * np.pi * 2.2 * moment)) * ((moment % 4) < 3)
    noise = np.random.default_rng(1).normal(0, 0.15, len(moment))
    return ((tone + noise) * syllables * 6000).astype(np.int16)


class Talking:
    def __init__(self) -> None:
        picture = cv2.imread(str(PICTURE))
        height, width = picture.shape[:2]
        wide = height * WIDTH // HEIGHT
        left = (width - wide) // 2
        picture = cv2.resize(picture[:, left : left + wide], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        self.renderer = models.renderer("viseme")
        prepared = models.preparer("viseme").prepare(Still(picture))
        self.avatar = self.renderer.load(prepared.bundle)
        self.width, self.height = prepared.width, prepared.height
        profile = self.renderer.profile
        self.before, self.after = profile.lookback_samples, profile.lookahead_samples
        self.sound = np.pad(speech(FRAMES), (self.before, self.after))

    def windows(self) -> list[AudioWindow]:
        size = PART * 640 + self.before + self.after
        starts = range(0, FRAMES, PART)
        return [
            AudioWindow(self.sound[at * 640 : at * 640 + size], self.before, self.after, at, PART)
            for at in starts
        ]

    def pipeline(self) -> None:
        for window in self.windows():
            stream = self.renderer.open_stream(self.avatar, start_frame=window.start_frame)
            render_fragment(self.renderer, stream, window, width=self.width, height=self.height)

    def draw(self) -> list[np.ndarray]:
        pictures = []
        for window in self.windows():
            stream = self.renderer.open_stream(self.avatar, start_frame=window.start_frame)
            poses = self.renderer.infer(stream, self.renderer.extract_features(stream, window))
            pictures.extend(self.renderer.compose_frame(stream, pose).copy() for pose in poses)
        return pictures


def x264(
    pictures: list[np.ndarray], settings: str, *, preset: str = "veryfast", crf: int = 23
) -> list[bytes]:
    """Encode parts with nothing around the encoder."""
    packets = []
    for start in range(0, len(pictures), PART):
        codec = av.CodecContext.create("libx264", "w")
        height, width = pictures[0].shape[0] * 2 // 3, pictures[0].shape[1]
        codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
        codec.time_base, codec.framerate, codec.thread_count = Fraction(1, 25), Fraction(25), 1
        codec.options = {"preset": preset, "crf": str(crf), "profile": "baseline", "x264-params": settings}
        for number, picture in enumerate(pictures[start : start + PART]):
            frame = av.VideoFrame.from_numpy_buffer(picture, "yuv420p")
            frame.pts = number
            packets += [bytes(packet) for packet in codec.encode(frame)]
        packets += [bytes(packet) for packet in codec.encode(None)]
    return packets


def compare(what: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median CPU time of each in ms a frame, measured in turns."""
    spent: dict[str, list[float]] = {name: [] for name in what}
    for _ in range(TURNS):
        for name, work in what.items():
            begun = time.process_time()
            work()
            spent[name].append((time.process_time() - begun) / FRAMES * 1000)
    return {name: statistics.median(times) for name, times in spent.items()}


def quality(pictures: list[np.ndarray], packets: list[bytes]) -> tuple[float, float, float]:
    """Return PSNR of all, PSNR of the mouth's surroundings, and the largest step at a join, in dB."""
    decoder, height = av.CodecContext.create("h264", "r"), pictures[0].shape[0] * 2 // 3
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet))] + decoder.decode(
        None
    )
    motion = np.std([picture[:height] for picture in pictures[::5]], axis=0)
    moving = motion > np.percentile(motion, 97)
    errors = [
        (frame.to_ndarray(format="yuv420p")[:height].astype(np.float32) - picture[:height]) ** 2
        for frame, picture in zip(frames, pictures, strict=True)
    ]
    level = [10 * np.log10(255**2 / error.mean()) for error in errors]
    joins = [abs(level[at] - level[at - 1]) for at in range(PART, len(level), PART)]
    return (
        float(10 * np.log10(255**2 / np.mean([error.mean() for error in errors]))),
        float(10 * np.log10(255**2 / np.mean([error[moving].mean() for error in errors]))),
        float(max(joins)),
    )


def settings_table(pictures: list[np.ndarray]) -> None:
    common = "stitchable=1:repeat-headers=1:bframes=0:keyint=250"
    still = "scenecut=0:rc-lookahead=0:mbtree=0"
    rows = {
        "as used": ("veryfast", 23, X264.format(keyint=250).replace("annexb=0:", "")),
        "preset's look-ahead": ("veryfast", 23, common),
        "preset's look-ahead, same size": ("veryfast", 17, common),
        "no look-ahead, full AQ": ("veryfast", 23, f"{common}:{still}"),
        "ultrafast, as used": ("ultrafast", 23, X264.format(keyint=250).replace("annexb=0:", "")),
        "faster, as used": ("faster", 23, X264.format(keyint=250).replace("annexb=0:", "")),
    }
    print(
        "\n| settings | crf | ms/frame | kbit/s | PSNR | PSNR where it moves | step at joins |\n"
        + "|---" * 7
        + "|"
    )
    spent = compare(
        {
            name: lambda row=row: x264(pictures, row[2], preset=row[0], crf=row[1])
            for name, row in rows.items()
        }
    )
    for name, (preset, crf, settings) in rows.items():
        packets = x264(pictures, settings, preset=preset, crf=crf)
        whole, moving, step = quality(pictures, packets)
        rate = sum(map(len, packets)) * 8 * 25 / len(pictures) / 1000
        print(
            f"| {name} | {crf} | {spent[name]:.2f} | {rate:.0f} | {whole:.1f} | {moving:.1f} | {step:.1f} |"
        )


def around(talking: Talking, pictures: list[np.ndarray]) -> None:
    size = {"width": talking.width, "height": talking.height}
    settings = X264.format(keyint=250)
    cue = CaptionOverlay([Cue(0, FRAMES * 40, ("This is what a caption", "of two lines costs"))], **size)
    wide = Canvas(layout(talking.width, talking.height, "16:9"))
    bgr = [cv2.cvtColor(picture, cv2.COLOR_YUV2BGR_I420) for picture in pictures]
    spent = compare(
        {
            "x264 alone": lambda: x264(pictures, settings),
            "encode_fragment (x264, buffers, MP4, checksum)": lambda: [
                encode_fragment(pictures[at : at + PART], **size) for at in range(0, FRAMES, PART)
            ],
            "render_fragment (viseme, the same, from sound to bytes)": talking.pipeline,
            "drawing alone": talking.draw,
            "a caption of two lines": lambda: [cue.draw(picture.copy(), 3) for picture in pictures],
            "a 16:9 canvas": lambda: [wide.place(picture) for picture in pictures],
            "for comparison: BGR to I420 by OpenCV": lambda: [
                cv2.cvtColor(each, cv2.COLOR_BGR2YUV_I420) for each in bgr
            ],
        }
    )
    alone = spent["x264 alone"]
    print("| step | ms/frame | against x264 alone |\n|---|---|---|")
    for name, value in spent.items():
        print(f"| {name} | {value:.2f} | {value / alone:.2f} |")


def sound() -> None:
    pcm = speech(25 * 60, 48_000)
    begun = time.process_time()
    codec = AacCodec()
    size = sum(map(len, codec.push(pcm.tobytes()) + codec.flush()))
    spent = time.process_time() - begun
    print(
        f"\nAAC: a minute in {spent:.2f} s CPU ({60 / spent:.0f} times realtime), "
        f"{size * 8 / 60_000:.0f} kbit/s"
    )


def main() -> None:
    talking = Talking()
    pictures = talking.draw()
    print(f"{talking.width}x{talking.height}, {FRAMES} frames in fragments of {PART}, CPU time, one thread\n")
    around(talking, pictures)
    settings_table(pictures)
    sound()


if __name__ == "__main__":
    main()
