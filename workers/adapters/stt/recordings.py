"""Recordings for a recogniser that hears while somebody speaks: played to it, as fast as it takes them."""

import asyncio
import io
import wave
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from workers.adapters import bridge, retry
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import BYTES_PER_MS, RATE, Hypothesis, Segment, Transcript, joined

PIECE_MS = 100
SPARE_SECONDS = 30.0
"""How much longer than the recording its understanding may take."""


class Recordings(ABC):
    """Gives `recognize` and `listen` to an adapter that has `hear`. Tried again where the error allows it."""

    provider: str
    streaming = True
    pace = 0.0
    """How many times faster than life recordings are sent at most; 0 for as fast as they are taken."""

    @abstractmethod
    def hear(self, sound: AsyncIterator[bytes], *, language: str = "") -> AsyncGenerator[Hypothesis, None]:
        """The adapter's own."""

    def recognize(self, audio: bytes, *, language: str = "") -> Transcript:
        """See `Recognizer.recognize`; `audio` is 16 kHz mono WAV."""

        async def one() -> AsyncGenerator[Transcript, None]:
            yield await self.listen(audio, language=language)

        (transcript,) = bridge.iterate(one)
        return transcript

    async def listen(self, audio: bytes, *, language: str = "") -> Transcript:
        """See `Recognizer.listen`; `audio` is 16 kHz mono WAV."""
        pcm = self._pcm(audio)
        for attempt in range(1, retry.ATTEMPTS + 1):
            try:
                async with asyncio.timeout(len(pcm) / BYTES_PER_MS / 1000 + SPARE_SECONDS):
                    return await self._heard(pcm, language)
            except AdapterError as exc:
                pause = retry.pause_or_raise(exc, attempt, delivered=False)
            except TimeoutError as exc:
                raise AdapterError(
                    "The speech provider did not answer in time.",
                    provider=self.provider,
                    retryable=True,
                    code="provider_timeout",
                ) from exc
            await asyncio.sleep(pause)
        raise AssertionError  # the last attempt returns or raises

    async def _heard(self, pcm: bytes, language: str) -> Transcript:
        sound = self._played(pcm)
        async with aclosing(sound), aclosing(self.hear(sound, language=language)) as told:
            finals = [each async for each in told if each.final and each.text.strip()]
        segments = tuple(Segment(each.start_ms, each.end_ms, each.text.strip()) for each in finals)
        return Transcript(joined(each.text for each in finals), segments, self.provider)

    async def _played(self, pcm: bytes) -> AsyncGenerator[bytes, None]:
        size = PIECE_MS * BYTES_PER_MS
        for begin in range(0, len(pcm), size):
            yield pcm[begin : begin + size]
            await asyncio.sleep(PIECE_MS / 1000 / self.pace if self.pace else 0)

    def _pcm(self, audio: bytes) -> bytes:
        try:
            with wave.open(io.BytesIO(audio)) as file:
                shape = (file.getframerate(), file.getnchannels(), file.getsampwidth())
                pcm: bytes = file.readframes(file.getnframes())
        except (wave.Error, EOFError) as exc:
            raise self._unreadable() from exc
        if shape != (RATE, 1, 2):
            raise self._unreadable()
        return pcm

    def _unreadable(self) -> AdapterError:
        return AdapterError(
            "The recording is no 16 kHz mono WAV.",
            provider=self.provider,
            retryable=False,
            code="audio_unreadable",
        )
