"""CosyVoice at DashScope: text in, sound out while it is made."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workers.adapters.dashscope.account import Account, Common
from workers.adapters.dashscope.tasks import Job, running
from workers.adapters.dashscope.words import SentenceWords
from workers.adapters.endpoint import Endpoint
from workers.adapters.tts.base import EvenPcm, SpeechEvent, SpeechRequest, Streaming, Timings

MAX_CHARACTERS = 10_000
"""In one message: the limit is 20,000, and a Han character counts as two."""
SPEEDS = (0.5, 2.0)


@dataclass(frozen=True, kw_only=True)
class Dialect(Common):
    """`words` asks for word times, `language_hints` tells the model the language: not all take them."""

    provider: str = "cosyvoice"
    model: str = "cosyvoice-v3-flash"
    sample_rate: int = 24_000
    words: bool = True
    language_hints: bool = False
    volume: int = 50
    pitch: float = 1.0
    instruction: str = ""


class CosyVoice(Streaming):
    """One task for each request, one after another on sockets that are kept."""

    def __init__(self, endpoint: Endpoint, dialect: Dialect) -> None:
        self.provider = dialect.provider
        self._dialect = dialect
        self._account = Account(endpoint, dialect)

    async def once(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """See `Streaming`."""
        sound, words = EvenPcm(self._dialect.sample_rate), SentenceWords(self._dialect.sample_rate)
        async with running(self._account, self._job(request)) as task:
            for text in _messages(request.text):
                await task.text(text)
            await task.finish()
            while (result := await task.next()) is not None:
                if not isinstance(result, bytes):
                    if told := words.take(result):
                        yield Timings((), told)
                    continue
                words.played(result)
                for chunk in sound.feed(result):
                    yield chunk
        if sound.odd:
            raise self._account.truncated()

    def _job(self, request: SpeechRequest) -> Job:
        """The text is plain, whatever is in it: markup is never switched on."""
        dialect = self._dialect
        parameters: dict[str, Any] = {
            "text_type": "PlainText",
            "voice": request.voice,
            "format": "pcm",
            "sample_rate": dialect.sample_rate,
            "volume": dialect.volume,
            "rate": within(request.speed, *SPEEDS),
            "pitch": dialect.pitch,
        }
        if dialect.words:
            parameters["word_timestamp_enabled"] = True
        if dialect.instruction:
            parameters["instruction"] = dialect.instruction
        if dialect.language_hints and request.language:
            parameters["language_hints"] = [request.language.partition("-")[0].lower()]
        return Job("tts", "SpeechSynthesizer", dialect.model, parameters)


def within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _messages(text: str) -> Iterator[str]:
    for at in range(0, len(text), MAX_CHARACTERS):
        yield text[at : at + MAX_CHARACTERS]


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> CosyVoice:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return CosyVoice(endpoint, Dialect(**options))
