"""What every provider that understands speech looks like from outside."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Segment:
    """What was said between two moments, in ms from the start of the recording."""

    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """`segments` is empty where the provider told no times."""

    text: str
    segments: tuple[Segment, ...] = ()


class Recognizer(Protocol):
    """Turns a recording into text. Both calls raise `AdapterError`.

    `audio` is a whole file of a format that the provider knows (WAV is always known); `language` is
    a tag such as `en-US`, or empty to leave it to the provider.
    """

    provider: str

    def recognize(self, audio: bytes, *, language: str = "") -> Transcript: ...

    async def listen(self, audio: bytes, *, language: str = "") -> Transcript: ...
