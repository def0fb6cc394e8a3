"""Several voices as one: who speaks when a provider is away.

The first that can speak does; the next one is asked only while nothing was heard of the one before,
so that nothing is said twice and a sentence keeps its voice.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
from dataclasses import replace

from workers.adapters import bridge, health
from workers.adapters.breaker import breaker
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import PcmChunk, Speaker, SpeechEvent, SpeechRequest, Synthesizer
from workers.speech import markup
from workers.speech.voices import Voice

_log = logging.getLogger(__name__)

FIRST_SOUND_SECONDS = 4.0
"""So long somebody who listens waits for a voice that another could take the place of."""
SLOW_SECONDS = 4.0
"""Who was left after so long without a sound counts as failed."""


class FallbackSynthesizer:
    """A synthesizer out of voices with their synthesizers, in the order in which they are asked.

    Requests are made for the voice `asked`, which is the first where nothing else is said. Voices whose
    breaker is open are passed over, but for the last. `Speaker` tells of another than the one asked.
    """

    def __init__(
        self,
        speakers: Sequence[tuple[Voice, Synthesizer]],
        *,
        asked: Voice | None = None,
        first_sound_seconds: float = FIRST_SOUND_SECONDS,
    ) -> None:
        if not speakers:
            raise ValueError("nobody to speak")
        self._speakers = tuple(speakers)
        self._asked = asked or speakers[0][0]
        self._first_sound_seconds = first_sound_seconds
        self.provider = self._asked.provider

    def synthesize(self, request: SpeechRequest) -> Generator[SpeechEvent, None, None]:
        """As `stream`, for code that may block."""
        return bridge.iterate(lambda: self.stream(request))

    async def stream(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """The events of the first voice that speaks. Raises the `AdapterError` that says most."""
        errors: list[AdapterError] = []
        last = len(self._speakers) - 1
        for position, (voice, synthesizer) in enumerate(self._speakers):
            if not breaker("tts", voice.provider).allows() and position < last:
                continue
            patient = position == last or request.priority == "batch"
            seconds = None if patient else self._first_sound_seconds
            attempt = _Attempt(voice.provider, seconds)
            try:
                async with aclosing(synthesizer.stream(self._rewritten(request, voice))) as events:
                    while (event := await attempt.next(events)) is not None:
                        if attempt.begins() and voice != self._asked:
                            yield Speaker(voice.provider, voice.gain_db)
                        yield event
                attempt.succeeded()
            except AdapterError as exc:
                attempt.failed(exc)
                if attempt.begun:
                    raise
                errors.append(exc)
            except (GeneratorExit, asyncio.CancelledError):
                attempt.left()
                raise
            else:
                return
        raise next((error for error in errors if error.retryable), errors[0])

    def _rewritten(self, request: SpeechRequest, voice: Voice) -> SpeechRequest:
        """The request as this voice has to be asked: its name, its pace, no markup that it would read out."""
        if voice == self._asked:
            return request
        return replace(
            request,
            text=request.text if voice.understands_ipa else markup.plain(request.text),
            voice=voice.provider_voice,
            language=voice.language or request.language,
            speed=round(request.speed / self._asked.tempo * voice.tempo, 3),
        )


class _Attempt:
    """One voice's try: watched over until its first sound, and written down."""

    def __init__(self, provider: str, first_sound_seconds: float | None) -> None:
        self.begun = False
        self._provider = provider
        self._started = time.monotonic()
        self._sounded = False
        now = asyncio.get_running_loop().time()
        self._until = None if first_sound_seconds is None else now + first_sound_seconds

    async def next(self, events: AsyncGenerator[SpeechEvent, None]) -> SpeechEvent | None:
        """The next event, None at the end. Raises `AdapterError`."""
        try:
            async with asyncio.timeout_at(self._until):
                event = await anext(events, None)
        except TimeoutError:
            raise self._silent("did not answer in time", "provider_timeout") from None
        except AdapterError:
            raise
        except Exception as exc:  # noqa: BLE001 - what no adapter foresaw must not silence who could go on
            # Its words may hold the text: its kind alone is told.
            _log.error("The speech provider %s failed with %s", self._provider, type(exc).__name__)
            raise self._unreadable() from None
        if isinstance(event, PcmChunk) and not self._sounded:
            self._sounded, self._until = True, None
            health.heard("tts", self._provider, self._waited() * 1000)
        if event is None and not self._sounded:
            raise self._silent("sent no sound", "no_audio")
        return event

    def begins(self) -> bool:
        """Whether this is the first event that is passed on."""
        first, self.begun = not self.begun, True
        return first

    def succeeded(self) -> None:
        breaker("tts", self._provider).succeeded()

    def failed(self, error: AdapterError) -> None:
        breaker("tts", self._provider).failed(error)
        health.failed("tts", self._provider, error)

    def left(self) -> None:
        """Nobody listens any more: no fault, but where there was nothing to hear for long."""
        if self._sounded:
            self.succeeded()
        elif self._waited() >= SLOW_SECONDS:
            self.failed(self._silent("did not answer in time", "provider_timeout"))

    def _unreadable(self) -> AdapterError:
        message = "The speech provider's answer cannot be read."
        return AdapterError(message, provider=self._provider, retryable=False)

    def _waited(self) -> float:
        return time.monotonic() - self._started

    def _silent(self, what: str, code: str) -> AdapterError:
        return AdapterError(
            f"The speech provider {what}.", provider=self._provider, retryable=True, code=code
        )
