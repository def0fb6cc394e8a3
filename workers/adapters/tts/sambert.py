"""Sambert at DashScope: all of the text at once, and the voice is the model."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from workers.adapters.dashscope.account import Account, Common
from workers.adapters.dashscope.tasks import Job, running
from workers.adapters.dashscope.words import GrowingWords
from workers.adapters.endpoint import Endpoint
from workers.adapters.tts.base import EvenPcm, SpeechEvent, SpeechRequest, Streaming, Timings
from workers.adapters.tts.cosyvoice import SPEEDS, within


@dataclass(frozen=True, kw_only=True)
class Dialect(Common):
    """`words` asks for word times."""

    provider: str = "sambert"
    sample_rate: int = 48_000
    words: bool = True
    volume: int = 50
    pitch: float = 1.0


class Sambert(Streaming):
    """One task for each request, one after another on sockets that are kept."""

    def __init__(self, endpoint: Endpoint, dialect: Dialect) -> None:
        self.provider = dialect.provider
        self._dialect = dialect
        self._account = Account(endpoint, dialect)

    async def once(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """See `Streaming`."""
        sound, words = EvenPcm(self._dialect.sample_rate), GrowingWords()
        async with running(self._account, self._job(request)) as task:
            while (result := await task.next()) is not None:
                if not isinstance(result, bytes):
                    if told := words.take(result):
                        yield Timings((), told)
                    continue
                for chunk in sound.feed(result):
                    yield chunk
        if sound.odd:
            raise self._account.truncated()
        if told := words.rest():
            yield Timings((), told)

    def _job(self, request: SpeechRequest) -> Job:
        dialect = self._dialect
        parameters: dict[str, Any] = {
            "text_type": "PlainText",
            "format": "pcm",
            "sample_rate": dialect.sample_rate,
            "volume": dialect.volume,
            "rate": within(request.speed, *SPEEDS),
            "pitch": dialect.pitch,
        }
        if dialect.words:
            parameters["word_timestamp_enabled"] = True
        return Job("tts", "SpeechSynthesizer", request.voice, parameters, streaming="out", given=request.text)


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> Sambert:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return Sambert(endpoint, Dialect(**options))
