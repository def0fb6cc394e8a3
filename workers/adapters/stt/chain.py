"""Several recognisers as one: who fails is followed by the next, with the sound that is still to be told."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from types import TracebackType

from workers.adapters import health, retry
from workers.adapters.breaker import breaker
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import BYTES_PER_MS, Hypothesis, Recognizer, Transcript
from workers.adapters.stt.tape import Tape

__all__ = ["FallbackRecognizer"]

_log = logging.getLogger(__name__)

KEEP_MS = 60_000
FINAL_SECONDS = 6.0
FINAL_SHARE = 0.25


class FallbackRecognizer:
    """Asks recognisers in their order. Those that failed lately are left out, except the last one.

    `keep_ms` of sound that nobody is sure of are kept for the next. When the sound is over, the next
    words may take `final_seconds` and a share of the sound's length before the next one is asked.
    """

    def __init__(
        self,
        recognizers: Sequence[Recognizer],
        *,
        keep_ms: int = KEEP_MS,
        final_seconds: float = FINAL_SECONDS,
    ) -> None:
        if not recognizers:
            raise ValueError("there is nobody to ask")
        self._recognizers = tuple(recognizers)
        self._keep_ms = keep_ms
        self._final_seconds = final_seconds
        self.provider = recognizers[0].provider

    @property
    def streaming(self) -> bool:
        """Whether the one that would be asked now hears while somebody speaks."""
        able = [one for one in self._recognizers if not breaker("stt", one.provider).open]
        return (able or self._recognizers[-1:])[0].streaming

    def recognize(self, audio: bytes, *, language: str = "") -> Transcript:
        """See `Recognizer.recognize`. Raises the `AdapterError` that says most."""
        errors: list[AdapterError] = []
        for attempt in self._attempts(errors):
            with attempt:
                found = attempt.recognizer.recognize(audio, language=language)
                attempt.succeeded()
                return replace(found, provider=found.provider or attempt.provider)
        raise _telling(errors)

    async def listen(self, audio: bytes, *, language: str = "") -> Transcript:
        """See `Recognizer.listen`: somebody waits, so a slow one is not waited for where there is another."""
        errors: list[AdapterError] = []
        patience = self._patience(len(audio) // BYTES_PER_MS)
        for attempt in self._attempts(errors):
            with attempt:
                try:
                    async with asyncio.timeout(None if attempt.last else patience):
                        found = await attempt.recognizer.listen(audio, language=language)
                except TimeoutError:
                    raise _late(attempt.provider) from None
                attempt.succeeded()
                return replace(found, provider=found.provider or attempt.provider)
        raise _telling(errors)

    async def hear(
        self, sound: AsyncIterator[bytes], *, language: str = ""
    ) -> AsyncGenerator[Hypothesis, None]:
        """See `Recognizer.hear`. All are asked, then once more those for whom another try may help."""
        errors: list[AdapterError] = []
        tape = Tape(sound, keep_ms=self._keep_ms)
        try:
            for attempt in self._attempts(errors, again=True):
                with attempt:
                    await asyncio.sleep(attempt.pause)
                    async with aclosing(self._heard(attempt, tape, language)) as told:
                        async for hypothesis in told:
                            yield hypothesis
                    attempt.succeeded(since=tape.ended_at)
                    return
        finally:
            await tape.close()
        raise _telling(errors)

    async def _heard(
        self, attempt: "_Attempt", tape: Tape, language: str
    ) -> AsyncGenerator[Hypothesis, None]:
        """What one of them hears of the sound that is left, in times of the whole sound."""
        begin_ms = tape.begin_ms
        sound = tape.play()
        told = attempt.recognizer.hear(sound, language=language)
        async with aclosing(sound), aclosing(told):
            while (found := await self._next(told, tape, attempt)) is not None:
                attempt.useful = True
                moved = _moved(found, begin_ms, attempt.provider)
                if found.final:
                    tape.forget(moved.end_ms if moved.end_ms > moved.start_ms else tape.played_ms)
                yield moved

    def _attempts(self, errors: list[AdapterError], *, again: bool = False) -> Iterator["_Attempt"]:
        """Whom to ask; what goes wrong in an attempt is found in `errors`, and the next one follows.

        With `again`, streams that broke are tried a second time when all others failed.
        """
        end = self._recognizers[-1]
        for recognizer in self._recognizers:
            if breaker("stt", recognizer.provider).allows() or recognizer is end:
                broken = again and any(self._broken(errors))
                last = recognizer is end and not (broken or (again and recognizer.streaming))
                yield _Attempt(recognizer, errors, last=last)
        for recognizer, error in list(self._broken(errors)) if again else ():
            if breaker("stt", recognizer.provider).allows():
                pause = max(error.retry_after, retry.BACKOFF_SECONDS)
                yield _Attempt(recognizer, errors, last=True, pause=pause)

    def _broken(self, errors: list[AdapterError]) -> Iterator[tuple[Recognizer, AdapterError]]:
        """The streams that another try may help."""
        for recognizer in self._recognizers:
            for error in errors:
                if recognizer.streaming and error.retryable and error.provider == recognizer.provider:
                    yield recognizer, error

    async def _next(
        self, told: AsyncGenerator[Hypothesis, None], tape: Tape, attempt: "_Attempt"
    ) -> Hypothesis | None:
        """The next words, None when there are no more. After the sound they are not long waited for."""
        waiting = asyncio.ensure_future(anext(told, None))
        over = asyncio.ensure_future(tape.ended.wait())
        try:
            await asyncio.wait({waiting, over}, return_when=asyncio.FIRST_COMPLETED)
            patience = None if attempt.last else self._patience(tape.kept_ms)
            await asyncio.wait({waiting}, timeout=patience)
            if not waiting.done():
                raise _late(attempt.provider)
            return waiting.result()
        finally:
            over.cancel()
            waiting.cancel()
            await asyncio.gather(waiting, over, return_exceptions=True)

    def _patience(self, sound_ms: int) -> float:
        return self._final_seconds + FINAL_SHARE * sound_ms / 1000


class _Attempt:
    """One recogniser's try, as a context: a fault of its is written down and kept, not raised."""

    def __init__(
        self, recognizer: Recognizer, errors: list[AdapterError], *, last: bool, pause: float = 0.0
    ) -> None:
        self.recognizer = recognizer
        self.provider = recognizer.provider
        self.last, self.pause = last, pause
        self.useful = False
        self._errors = errors
        self._done = False
        self._started = time.monotonic()

    def succeeded(self, since: float | None = None) -> None:
        """It did its part, in the time from `since` (of `time.monotonic`) or from the beginning."""
        waited = time.monotonic() - max(self._started, since or 0.0)
        self._done = True
        breaker("stt", self.provider).succeeded()
        health.heard("stt", self.provider, waited * 1000)

    def __enter__(self) -> None:
        """Nothing to do: the try began when it was made."""

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(exc, AdapterError):
            self._failed(exc)
            return True
        if isinstance(exc, (GeneratorExit, asyncio.CancelledError)) and not self._done:
            self._left()
        return False

    def _failed(self, error: AdapterError) -> None:
        error.provider = self.provider
        breaker("stt", self.provider).failed(error)
        health.failed("stt", self.provider, error)
        _log.warning("Speech recognition by %s failed: %s", self.provider, error.code)
        self._errors.append(error)

    def _left(self) -> None:
        """Nobody waits any more: no fault, but where nothing came for long."""
        if self.useful:
            breaker("stt", self.provider).succeeded()


def _moved(found: Hypothesis, by_ms: int, provider: str) -> Hypothesis:
    words = tuple(replace(w, start_ms=w.start_ms + by_ms, end_ms=w.end_ms + by_ms) for w in found.words)
    return replace(
        found,
        start_ms=found.start_ms + by_ms,
        end_ms=found.end_ms + by_ms,
        words=words,
        provider=found.provider or provider,
    )


def _late(provider: str) -> AdapterError:
    return AdapterError(
        "The speech provider did not answer in time.",
        provider=provider,
        retryable=True,
        code="provider_timeout",
    )


def _telling(errors: list[AdapterError]) -> AdapterError:
    return next((error for error in errors if error.retryable), errors[0])
