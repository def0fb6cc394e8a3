"""Recognisers that are asked about whole recordings: an adapter writes one attempt, and has the rest."""

import asyncio
import io
import wave
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import replace

import numpy as np

from workers.adapters import bridge, retry
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import Transcript, joined
from workers.adapters.stt.growing import Growing

SHORTEST_SECONDS = 4.0
"""Recordings are not cut below twice this: what refuses them then is not their size."""
WINDOW_SECONDS = 0.1


class Whole(Growing, ABC):
    """`once` is one attempt at one recording; `listen`, `recognize` and `hear` are made of it.

    A recording that the provider finds too large, or that has more than `most_bytes`, is cut at a
    quiet moment near its middle, and again as often as needed, where it is a WAV file.
    """

    provider: str
    most_bytes: int = 0

    @abstractmethod
    async def once(self, audio: bytes, language: str) -> Transcript:
        """What the provider understands; raises `AdapterError`."""

    async def listen(self, audio: bytes, *, language: str = "") -> Transcript:
        """See `Recognizer.listen`."""
        if self.most_bytes and len(audio) > self.most_bytes and (parts := halves(audio)):
            return await self._both(parts, language)
        try:
            return await self._tried(audio, language)
        except AdapterError as exc:
            if exc.code != "provider_too_large" or not (parts := halves(audio)):
                raise
        return await self._both(parts, language)

    def recognize(self, audio: bytes, *, language: str = "") -> Transcript:
        """See `Recognizer.recognize`."""

        async def only() -> AsyncGenerator[Transcript, None]:
            yield await self.listen(audio, language=language)

        (transcript,) = bridge.iterate(only)
        return transcript

    async def _tried(self, audio: bytes, language: str) -> Transcript:
        for attempt in range(1, retry.ATTEMPTS + 1):
            try:
                heard = await self.once(audio, language)
                return replace(heard, provider=heard.provider or self.provider)
            except AdapterError as exc:
                exc.provider = exc.provider or self.provider
                pause = retry.pause_or_raise(exc, attempt, delivered=False)
            await asyncio.sleep(pause)
        raise AssertionError  # the last attempt returns or raises

    async def _both(self, parts: tuple[bytes, int, bytes], language: str) -> Transcript:
        """One after the other: who is asked for less at a time shall not be asked twice at a time."""
        first, later_ms, second = parts
        one = await self.listen(first, language=language)
        other = await self.listen(second, language=language)
        moved = tuple(
            replace(s, start_ms=s.start_ms + later_ms, end_ms=s.end_ms + later_ms) for s in other.segments
        )
        return Transcript(joined((one.text, other.text)), one.segments + moved, self.provider)


def halves(audio: bytes) -> tuple[bytes, int, bytes] | None:
    """A WAV file as two, cut where it is quietest in its middle third, and when the second begins (ms).

    None for what cannot be cut: other formats, and what is short already.
    """
    try:
        with wave.open(io.BytesIO(audio)) as file:
            form = file.getparams()
            sound = file.readframes(form.nframes)
    except (wave.Error, EOFError):
        return None
    count = len(sound) // (form.sampwidth * form.nchannels)
    if form.sampwidth != 2 or count < 2 * SHORTEST_SECONDS * form.framerate:
        return None
    at = _quietest(np.frombuffer(sound, "<i2", count * form.nchannels)[:: form.nchannels], form.framerate)
    edge = at * form.sampwidth * form.nchannels
    return _wav(form, sound[:edge]), at * 1000 // form.framerate, _wav(form, sound[edge:])


def _quietest(samples: "np.ndarray[tuple[int], np.dtype[np.int16]]", rate: int) -> int:
    """The middle of the quietest tenth of a second within the middle third."""
    third, window = len(samples) // 3, int(WINDOW_SECONDS * rate)
    middle = samples[third : 2 * third].astype(np.float64)
    steps = middle[: len(middle) // window * window].reshape(-1, window)
    return third + int(np.argmin(np.mean(steps**2, axis=1))) * window + window // 2


def _wav(form: "wave._wave_params", sound: bytes) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(form.nchannels)
        file.setsampwidth(form.sampwidth)
        file.setframerate(form.framerate)
        file.writeframes(sound)
    return out.getvalue()
