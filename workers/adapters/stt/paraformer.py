"""Paraformer at DashScope: hears while somebody speaks, sentence by sentence."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from workers.adapters.dashscope.account import Account, Common
from workers.adapters.dashscope.sentences import Sentences
from workers.adapters.dashscope.tasks import Job, Payload, Task, running
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import BYTES_PER_MS, RATE, Hypothesis
from workers.adapters.stt.recordings import Recordings

LANGUAGES = frozenset({"zh", "en", "ja", "yue", "ko", "de", "fr", "ru"})
MESSAGE_BYTES = 12_800
SILENCE_MS = 100
SILENT_SECONDS = 10.0
"""The service gives up after 23 s without sound, which a closed microphone easily is."""
WHILE_SPEAKING_SECONDS = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Dialect(Common):
    """`language_hints` are for whoever gives no language; `vocabulary` is the id of an account's own words.

    A sentence ends after `sentence_silence_ms` without speech; 0 leaves that to the service.
    """

    provider: str = "dashscope"
    connect_seconds: float = 10.0
    model: str = "paraformer-realtime-v2"
    language_hints: tuple[str, ...] = ()
    vocabulary: str = ""
    sentence_silence_ms: int = 0
    without_fillers: bool = False


class Paraformer(Recordings):
    """One task for each hearing, one after another on sockets that are kept."""

    def __init__(self, endpoint: Endpoint, dialect: Dialect) -> None:
        self.provider = dialect.provider
        self._dialect = dialect
        self._account = Account(endpoint, dialect)

    async def hear(
        self, sound: AsyncIterator[bytes], *, language: str = ""
    ) -> AsyncGenerator[Hypothesis, None]:
        """See `Recognizer.hear`. Leaving it before the end cuts the connection off."""
        async with running(self._account, self._job(language)) as task:
            hearing = _Hearing(self._account, task, sound)
            sentences = Sentences(self.provider, hearing.since_begin)
            try:
                while (result := await hearing.result()) is not None:
                    for hypothesis in sentences.take(result):
                        yield hypothesis
            finally:
                await hearing.close()
        for hypothesis in sentences.rest():
            yield hypothesis

    def _job(self, language: str) -> Job:
        dialect = self._dialect
        parameters: dict[str, Any] = {"format": "pcm", "sample_rate": RATE, "heartbeat": True}
        if hints := self._hints(language):
            parameters["language_hints"] = hints
        if dialect.vocabulary:
            parameters["vocabulary_id"] = dialect.vocabulary
        if dialect.sentence_silence_ms:
            parameters["max_sentence_silence"] = dialect.sentence_silence_ms
        if dialect.without_fillers:
            parameters["disfluency_removal_enabled"] = True
        return Job("asr", "recognition", dialect.model, parameters)

    def _hints(self, language: str) -> list[str]:
        if not language:
            return list(self._dialect.language_hints)
        name, _, region = language.lower().replace("_", "-").partition("-")
        name = "yue" if name == "zh" and region in ("hk", "mo") else name
        if name not in LANGUAGES:
            raise self._account.error("The provider does not know the language.", "language_unsupported")
        return [name]


class _Hearing:
    """Sends sound and takes results at the same time."""

    def __init__(self, account: Account, task: Task, sound: AsyncIterator[bytes]) -> None:
        self._account, self._task = account, task
        self._sent_ms = 0.0
        self._silences: list[float] = []  # where, in what was sent, there is one of ours
        self._feeding = asyncio.create_task(self._feed(sound))
        self._waiting: asyncio.Task[bytes | Payload | None] | None = None

    async def result(self) -> Payload | None:
        """The next result; None at the end. Silence is no fault while sound is sent, but it is then."""
        seconds = WHILE_SPEAKING_SECONDS
        if self._feeding.done():
            self._feeding.result()
            seconds = self._account.options.event_seconds
        self._waiting = waiting = asyncio.create_task(self._task.next(seconds))
        await asyncio.wait({waiting, self._feeding}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            await self._end_of_sound(waiting)
        return self._read(waiting)

    def since_begin(self, ms: float) -> int:
        """A moment of what was sent as one of the sound that was given."""
        return round(ms - SILENCE_MS * sum(at < ms for at in self._silences))

    async def close(self) -> None:
        mine = [task for task in (self._feeding, self._waiting) if task is not None]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    async def _end_of_sound(self, waiting: asyncio.Task[bytes | Payload | None]) -> None:
        if not self._feeding.done():
            return
        self._feeding.result()
        _, late = await asyncio.wait({waiting}, timeout=self._account.options.event_seconds)
        if late:
            raise self._account.error(
                "The provider did not answer in time.", "provider_timeout", retryable=True
            )

    def _read(self, waiting: asyncio.Task[bytes | Payload | None]) -> Payload | None:
        result = waiting.result()
        if isinstance(result, bytes):
            raise self._account.unreadable()
        return result

    async def _feed(self, sound: AsyncIterator[bytes]) -> None:
        async with aclosing(_or_silence(sound)) as pieces:
            async for piece in pieces:
                if not await self._sent(piece):
                    return
        with suppress(AdapterError):
            await self._task.finish()

    async def _sent(self, piece: bytes | None) -> bool:
        """False where the service went; its own words about that, if there are any, wait to be read."""
        if piece is None:
            self._silences.append(self._sent_ms)
            piece = bytes(SILENCE_MS * BYTES_PER_MS)
        try:
            for at in range(0, len(piece), MESSAGE_BYTES):
                await self._task.sound(piece[at : at + MESSAGE_BYTES])
        except AdapterError:
            return False
        self._sent_ms += len(piece) / BYTES_PER_MS
        return True


async def _or_silence(sound: AsyncIterator[bytes]) -> AsyncGenerator[bytes | None, None]:
    """The pieces of the sound; None where there was none for long. Pauses, which are empty, say nothing."""
    coming = asyncio.ensure_future(_next(sound))
    try:
        while True:
            await asyncio.wait({coming}, timeout=SILENT_SECONDS)
            if not coming.done():
                yield None
                continue
            if (piece := coming.result()) is None:
                return
            coming = asyncio.ensure_future(_next(sound))
            if piece:
                yield piece
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def _next(sound: AsyncIterator[bytes]) -> bytes | None:
    return await anext(sound, None)


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> Paraformer:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    given = dict(options)
    if "language_hints" in given:
        given["language_hints"] = tuple(given["language_hints"])
    return Paraformer(endpoint, Dialect(**given))
