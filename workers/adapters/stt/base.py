"""What every provider that understands speech looks like from outside."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Protocol

RATE = 16_000
BYTES_PER_MS = RATE * 2 // 1000
"""Of the sound that recognisers hear: 16 kHz mono s16le."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What was said between two moments, in ms from the start of the recording."""

    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """`segments` is empty where the provider told no times; `provider` is who understood it."""

    text: str
    segments: tuple[Segment, ...] = ()
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What one sentence sounds like by now; times in ms from the first sound that was given.

    The partial ones of a sentence share `start_ms`, each replaces the one before; a final one closes
    it and is said once. Sentences come in their order. `words` are there where a provider times them.
    """

    text: str
    final: bool
    start_ms: int
    end_ms: int
    words: tuple[Segment, ...] = ()
    provider: str = ""


class Recognizer(Protocol):
    """Turns sound into text. Every call raises `AdapterError`.

    `language` is a tag such as `en-US`, or empty to leave it to the provider.
    """

    provider: str

    @property
    def streaming(self) -> bool:
        """Whether `hear` understands sound while it comes, and does not ask again and again."""

    def recognize(self, audio: bytes, *, language: str = "") -> Transcript:
        """Understand a whole file of a format that the provider knows (WAV is always known)."""

    async def listen(self, audio: bytes, *, language: str = "") -> Transcript:
        """As `recognize`, on an event loop."""

    def hear(self, sound: AsyncIterator[bytes], *, language: str = "") -> AsyncGenerator[Hypothesis, None]:
        """Understand sound as it comes: 16 kHz mono s16le in pieces of any size, from now until they end.

        An empty piece is no sound: it says that the speaker has paused, and that this is a good moment
        to tell what is known. The generator ends after the last final hypothesis; closing it earlier
        ends the request at the provider. It is one attempt: trying again is for who holds the sound.
        """


def joined(sentences: Iterable[str]) -> str:
    """Sentences as one text; languages that are written without spaces stay without them."""
    text = ""
    for sentence in (each.strip() for each in sentences):
        if text and sentence and not (_unspaced(text[-1]) and _unspaced(sentence[0])):
            text += " "
        text += sentence
    return text


def _unspaced(character: str) -> bool:
    """Whether it is of a script without spaces, Chinese, Japanese or Thai, or a mark of theirs."""
    code = ord(character)
    return (
        0x2E80 <= code <= 0x9FFF
        or 0xF900 <= code <= 0xFAFF
        or 0xFF00 <= code <= 0xFFEF
        or 0x0E00 <= code <= 0x0E7F
    )
