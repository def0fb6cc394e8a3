"""What playout costs a web process, and how its joins sound and look.

`python -m docs.benchmarks.playout` writes playout.md: CPU time for each frame, Opus settings on a real
voice, the sound at joins and cuts, and the step in the picture at joins against the steps within the
idle loop.
"""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import soxr
from numpy.typing import NDArray

from docs.benchmarks.scaling import PORTRAIT
from docs.benchmarks.speech import KEY, SCRIPT, sidecar, wait_until_up
from rtc import opus
from rtc.comfort import COMFORT
from rtc.frames import SAMPLES_PER_FRAME, SAMPLES_PER_PACKET, IdleLoop, PlayedRun, Segment, Tick
from rtc.packets import access_units
from rtc.playout import Playout
from tests.support import models
from workers.adapters.avatar.base import AudioWindow, Still
from workers.adapters.endpoint import Endpoint
from workers.rendering.encode import encode_idle
from workers.rendering.fragment import render_fragment
from workers.speech import voices
from workers.speech.script import sentences
from workers.speech.speak import speak_sentence

PAGE = Path(__file__).with_suffix(".md")
TURNS = 7
PUSH_BYTES = 20 * 2 * SAMPLES_PER_FRAME  # the sound of a usual fragment
SETTINGS = ("lowdelay", opus.BIT_RATE, opus.COMPLEXITY)
OPUS = [
    *(("lowdelay", rate, 2) for rate in (24_000, 32_000, 40_000, 48_000, 64_000)),
    *(("lowdelay", 40_000, complexity) for complexity in (0, 5, 10)),
    *(("audio", 40_000, complexity) for complexity in (2, 10)),
    *(("voip", 40_000, complexity) for complexity in (0, 2, 10)),
]

HEAD = """# Playout

`python -m docs.benchmarks.playout`, on two cores that other work kept busy: CPU time, and relations
between rows, mean something. The voice is a sentence of `en-heart`, the portrait 512x640 with a loop of
250 frames.

"""
NOTES = """
- Opus runs at 40 kbit/s and complexity 2 without its speech modes (`lowdelay`): half their work, a
  likeness above theirs, and packets that overlap by 2.5 ms and remember little else. At complexity 0 the
  highest band suffers; above 2, or above 40 kbit/s, one pays for what a voice of 24 kHz hardly shows.
- Idle sound is digital silence in ordinary packets. It clears the decoder's memory, and every reply's
  encoder starts after the same packet, so that a reply after idle decodes bit for bit as in one stream
  (`tests/rtc/test_opus.py`).
- A voice that is cut fades over the 2.5 ms of overlap: no step in it is larger than those of the voice
  itself, so there is no click, and no fade-out has to be prepared. What is left after that is the slow
  tail of the de-emphasis filter.
- Steps of the picture are mean absolute differences of luma. Joins are as large as the loop's own IDR
  frames, which are there every 200 ms; motion that was planned wrong by up to six frames adds nothing
  that could be seen. The frames were looked at as pictures too.
"""

Sound = NDArray[np.int16]


class Deaf:
    """A listener that does nothing."""

    def started(self, epoch: int, utterance: int, frame: int) -> None: ...

    def ended(self, epoch: int, utterance: int, frame: int, samples: int, *, interrupted: bool) -> None: ...

    def underrun(self, epoch: int, utterance: int, frame: int) -> None: ...

    def resumed(self, epoch: int, utterance: int, frame: int) -> None: ...

    def run(self, run: PlayedRun) -> None: ...


def cpu_us(work: Callable[[], object], times: int) -> float:
    """Microseconds of CPU for each of `times` calls: the median of some turns."""
    turns = []
    for _ in range(TURNS):
        begun = time.thread_time()
        for _ in range(times):
            work()
        turns.append((time.thread_time() - begun) / times * 1e6)
    return float(np.median(turns))


def spoken() -> Sound:
    """A sentence of a built-in voice, 48 kHz, its silences at both ends included."""
    voice = voices.voice("en-heart")
    with sidecar(1) as (_, url):
        wait_until_up(url)
        speaker = voices.synthesizer_for(voice, {voices.LOCAL: Endpoint(url, KEY)})
        said = speak_sentence(speaker, sentences(SCRIPT, voice.language)[1], voice)
    whole = len(said.pcm) // (2 * SAMPLES_PER_FRAME) * 2 * SAMPLES_PER_FRAME
    return np.frombuffer(said.pcm[:whole], "<i2")


def heard(packets: list[bytes]) -> NDArray[np.float64]:
    decoder = av.CodecContext.create("libopus", "r")
    decoder.format, decoder.layout, decoder.sample_rate = "s16", "mono", 48_000
    parts = [frame.to_ndarray()[0] for packet in packets for frame in decoder.decode(av.Packet(packet))]
    return np.concatenate(parts).astype(np.float64)


def encoded(sound: Sound, application: str, rate: int, complexity: int) -> tuple[list[bytes], float]:
    """Packets and CPU microseconds for each."""
    opus.APPLICATION = application
    encoder, pcm = opus.OpusEncoder(rate, complexity=complexity), sound.tobytes()
    begun, packets = time.thread_time(), list[bytes]()
    for start in range(0, len(pcm), PUSH_BYTES):
        packets += encoder.push(pcm[start : start + PUSH_BYTES])
    return packets, (time.thread_time() - begun) / len(packets) * 1e6


def likeness(sound: Sound, result: NDArray[np.float64]) -> float:
    """RMS difference of the spectra in bands of 400 Hz to 12 kHz, in dB, where somebody speaks."""
    size = min(len(sound), len(result)) // 480 * 480
    window = np.hanning(960)

    def bands(signal: NDArray[np.float64]) -> NDArray[np.float64]:
        frames = np.lib.stride_tricks.sliding_window_view(signal, 960)[::480] * window
        power = np.abs(np.fft.rfft(frames)[:, :240]) ** 2
        return power.reshape(len(power), 30, 8).sum(2)

    said, got = bands(sound[:size].astype(np.float64)), bands(result[:size])
    loud = said.sum(1) > 1e-4 * said.sum(1).max()
    return float(np.sqrt(np.mean((10 * np.log10((said[loud] + 1e4) / (got[loud] + 1e4))) ** 2)))


def opus_table(sound: Sound) -> Iterator[str]:
    yield "| application | kbit/s asked | complexity | us/packet | kbit/s | spectral difference dB |"
    yield "|---|---|---|---|---|---|"
    for application, rate, complexity in OPUS:
        turns = [encoded(sound, application, rate, complexity) for _ in range(TURNS)]
        packets = turns[0][0]
        delay = opus.DELAY_SAMPLES if application == "lowdelay" else 312
        difference = likeness(sound, heard(packets)[delay:])
        spent = float(np.median([turn[1] for turn in turns]))
        kbits = sum(map(len, packets)) * 8 / (len(packets) * 20)
        settings = f"{application} | {rate // 1000} | {complexity}"
        yield f"| {settings} | {spent:.0f} | {kbits:.0f} | {difference:.1f} |"


def sound_table(sound: Sound) -> Iterator[str]:
    """Cut the voice after every packet, and see what the decoder makes of what follows."""
    packets, _ = encoded(sound, "lowdelay", opus.BIT_RATE, opus.COMPLEXITY)
    loud = np.abs(np.diff(heard(packets))).max()
    steps, left = [], []
    for cut in range(5, len(packets), 2):
        result = heard([*COMFORT, *packets[:cut], *COMFORT])
        end = (cut + 2) * SAMPLES_PER_PACKET
        steps.append(np.abs(np.diff(result[end - 1 : end + SAMPLES_PER_PACKET])).max() / loud)
        left.append(np.abs(result[end + opus.DELAY_SAMPLES :]).max() / 32768)
    yield "| join | measured |"
    yield "|---|---|"
    yield f"| cut after any packet: largest step against the voice's own | {max(steps):.2f} |"
    yield f"| left 2.5 ms after the cut, median, of full scale | {20 * np.log10(np.median(left)):.0f} dB |"
    yield f"| the same, loudest of {len(left)} cuts | {20 * np.log10(max(left)):.0f} dB |"


class Scene:
    """A portrait, its idle loop and a reply, rendered."""

    def __init__(self, sound: Sound) -> None:
        image = np.asarray(cv2.imread(str(PORTRAIT)), dtype=np.uint8)
        made = models.preparer("viseme").prepare(Still(image))
        self.size = made.width, made.height
        self.renderer = models.renderer("viseme")
        self.avatar = self.renderer.load(made.bundle)
        self.mp4 = encode_idle(made.idle, width=made.width, height=made.height).data
        self.loop = IdleLoop(access_units(self.mp4))
        self.pcm = soxr.resample(sound, 48_000, 16_000)

    def fragment(self, phase: int, frames: int) -> bytes:
        profile = self.renderer.profile
        before = np.zeros(profile.lookback_samples, np.int16)
        needed = frames * 640 + profile.lookahead_samples
        pcm = np.concatenate((before, np.resize(self.pcm, needed)))
        window = AudioWindow(pcm, profile.lookback_samples, profile.lookahead_samples, phase, frames)
        stream = self.renderer.open_stream(self.avatar, start_frame=phase)
        width, height = self.size
        return render_fragment(self.renderer, stream, window, width=width, height=height).data

    def pictures(self, ticks: list[Tick]) -> list[NDArray[np.int16]]:
        decoder = av.CodecContext.create("h264", "r")
        decoder.thread_count = 1
        frames = [frame for tick in ticks for frame in decoder.decode(av.Packet(tick.video.data))]
        frames += decoder.decode(None)
        height = self.size[1]
        return [frame.to_ndarray(format="yuv420p")[:height].astype(np.int16) for frame in frames]


def picture_table(scene: Scene) -> Iterator[str]:
    """Step of the picture at joins; `late` is how far the motion was planned wrong, in frames."""
    yield "| planned wrong by | idle to speech | cut to idle | idle loop, median | idle loop, largest |"
    yield "|---|---|---|---|---|"
    for late in (0, -2, 3, -6, 12):
        playout = Playout(scene.loop, listener=Deaf())
        ticks = [playout.tick(frame) for frame in range(23)]
        phase = (playout.phase + late) % len(scene.loop)
        units = access_units(scene.fragment(phase, 40))
        playout.push(Segment(0, 0, 0, phase, units, COMFORT * 40, last=False))
        ticks += [playout.tick(playout.frame) for _ in range(32)]
        playout.interrupt()
        ticks += [playout.tick(playout.frame) for _ in range(10)]
        steps = [float(np.abs(b - a).mean()) for a, b in pairwise(scene.pictures(ticks))]
        turns = [n for n, (a, b) in enumerate(pairwise(ticks)) if a.speaking != b.speaking]
        idle = steps[: turns[0]]
        row = (steps[turns[0]], steps[turns[1]], float(np.median(idle)), max(idle))
        yield f"| {late} | " + " | ".join(f"{value:.2f}" for value in row) + " |"


def cost_table(scene: Scene, sound: Sound) -> Iterator[str]:
    idle = Playout(scene.loop, listener=Deaf())
    units = access_units(scene.fragment(0, 25))
    packets = tuple(encoded(sound[: 25 * SAMPLES_PER_FRAME], *SETTINGS)[0])
    fragment = scene.fragment(0, 25)

    def one_second() -> None:
        playout = Playout(scene.loop, listener=Deaf())
        playout.push(Segment(0, 0, 0, 0, units, packets, last=True))
        for frame in range(25):
            playout.tick(frame)

    tick = cpu_us(lambda: idle.tick(idle.frame), 5000)
    rows = [
        ("tick while idle", tick, 25.0),
        ("tick while speaking", cpu_us(one_second, 200) / 25, 25.0),
        ("Opus, one packet", encoded(np.resize(sound, 480_000), *SETTINGS)[1], 50.0),
        ("a fragment of 25 frames to access units", cpu_us(lambda: access_units(fragment), 20), 1.0),
    ]
    yield "| step | us | a second of speech, % of a core |"
    yield "|---|---|---|"
    for name, spent, times in rows:
        yield f"| {name} | {spent:.1f} | {spent * times / 1e4:.3f} |"
    spent = cpu_us(lambda: IdleLoop(access_units(scene.mp4)), 2) / 1000
    yield f"| once for each avatar and process: the idle loop | {spent:.0f} ms | |"


def main() -> None:
    sound = spoken()
    scene = Scene(sound)
    tables = (cost_table(scene, sound), opus_table(sound), sound_table(sound), picture_table(scene))
    PAGE.write_text(HEAD + "\n\n".join("\n".join(table) for table in tables) + "\n" + NOTES, encoding="utf-8")


if __name__ == "__main__":
    main()
