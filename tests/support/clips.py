"""Stand-ins for the parts around the clip pipeline: a broker, a voice, an avatar."""

import io
import json
import wave
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import numpy as np
import redis

from generation.avatars.models import Avatar, AvatarStatus
from generation.clips import assembling, rendering, speaking, streaming
from project.accounts.models import User
from storage import keys
from storage.s3 import ObjectStore
from workers import dispatch
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import Segment, Transcript
from workers.adapters.tts.base import PcmChunk, SpeechEvent, SpeechRequest, Timings, Word

VOICE_RATE = 24_000
MS_PER_CHARACTER = 60

TASKS: dict[str, Callable[..., None]] = {
    dispatch.SPEAK: speaking.speak,
    dispatch.RENDER_FRAGMENT: rendering.render_fragment,
    dispatch.RENDER_STREAM: streaming.render_stream,
    dispatch.ASSEMBLE: assembling.assemble_clip,
}


@dataclass
class Broker:
    """Queues in memory, and a worker that can be told to die; `away` refuses connections."""

    messages: deque[tuple[str, str, tuple[object, ...]]] = field(default_factory=deque)
    away: bool = False
    ran: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)

    def publish(self, task: str, queue: str, args: tuple[object, ...]) -> None:
        if not self.away:
            self.messages.append((task, queue, args))

    def waiting(self, queue: str) -> set[tuple[str, ...]]:
        if self.away:
            raise redis.ConnectionError("The broker is away")
        return {dispatch.identity(task, *args) for task, q, args in self.messages if q == queue}

    def depth(self, queue: str) -> int:
        return len(self.waiting(queue))

    def step(self) -> None:
        """Run the oldest message."""
        task, _, args = self.messages.popleft()
        if task in TASKS:
            self.ran.append((task, args))
            TASKS[task](*args)

    def run(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Run messages, and those that they send, until none is left."""
        while self.messages and not until():
            self.step()

    def count(self, task: str) -> int:
        return sum(ran == task for ran, _ in self.ran)


@dataclass
class ToneVoice:
    """Says a text as a tone, so many milliseconds a character; `failures` come first."""

    provider: str = "tone"
    failures: list[AdapterError] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def synthesize(self, request: SpeechRequest) -> Generator[SpeechEvent, None, None]:
        if self.failures:
            raise self.failures.pop(0)
        self.said.append(request.text)
        length_ms = int(len(request.text) * MS_PER_CHARACTER / request.speed)
        time = np.arange(VOICE_RATE * length_ms // 1000) / VOICE_RATE
        tone = np.sin(2 * np.pi * 220 * time) * 8000
        yield PcmChunk(tone.astype("<i2").tobytes(), VOICE_RATE)
        words = request.text.split()
        each = length_ms // len(words)
        yield Timings((), tuple(Word(w, n * each, (n + 1) * each) for n, w in enumerate(words)))


@dataclass
class Ears:
    """Hears one sentence in whatever it is given; `failure` comes instead while it is set."""

    provider: str = "ears"
    failure: AdapterError | None = None
    heard_seconds: list[float] = field(default_factory=list)

    def recognize(self, audio: bytes, *, language: str = "") -> Transcript:
        if self.failure is not None:
            raise self.failure
        with wave.open(io.BytesIO(audio)) as file:
            assert file.getframerate() == 16_000
            self.heard_seconds.append(file.getnframes() / 16_000)
        return Transcript("What I heard.", (Segment(500, 1500, " What I heard. "),))


def ready_avatar(store: ObjectStore, owner: User | None = None, **fields: object) -> Avatar:
    """A small test card, as its preparation would leave it."""
    avatar = Avatar(
        owner=owner,
        name="Card",
        model="mock",
        status=AvatarStatus.READY,
        version=1,
        width=160,
        height=192,
        source_kind="image",
        **fields,
    )
    avatar.slug = fields.get("slug") or avatar.pk.replace("_", "-")
    avatar.bundle_key = keys.avatar_file(avatar.pk, 1, "bundle.bin")
    store.put_bytes(avatar.bundle_key, json.dumps({"width": 160, "height": 192}).encode(), "x/y")
    avatar.save(force_insert=True)
    return avatar
