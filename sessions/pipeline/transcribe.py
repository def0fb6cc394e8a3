"""A recorded turn as text."""

from __future__ import annotations

import asyncio
import io
import wave
from dataclasses import replace
from typing import TYPE_CHECKING

from sessions.pipeline.faults import Fault
from sessions.pipeline.ports import Limits
from workers.adapters.errors import AdapterError
from workers.adapters.text import clean
from workers.speech.decimate import Decimator

if TYPE_CHECKING:
    from workers.adapters.stt.base import Recognizer, Transcript

HEARING_RATE = 16_000
SLICE_BYTES = 48_000 * 2  # one second


async def recognised(recognizer: Recognizer, pcm48k: bytes, language: str, limits: Limits) -> Transcript:
    """What is said in 48 kHz mono s16le sound, and who heard it. Raises `Fault`, also when nothing is."""
    recording = await _wav(pcm48k)
    try:
        async with asyncio.timeout(limits.recognition_seconds):
            found = await recognizer.listen(recording, language=language)
    except TimeoutError as exc:
        detail = "The speech recognition did not answer in time."
        raise Fault("recognition", "recognition_timeout", detail) from exc
    except AdapterError as exc:
        code = f"recognition_{exc.code.removeprefix('provider_')}"
        raise Fault("recognition", code, str(exc)) from exc
    text = clean(found.text).strip()
    if not text:
        raise Fault("recognition", "nothing_heard", "Nothing was understood in the recording.")
    return replace(found, text=text, provider=found.provider or recognizer.provider)


async def _wav(pcm48k: bytes) -> bytes:
    """As 16 kHz WAV, made in steps that leave the event loop to others."""
    decimator, out = Decimator(), io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(HEARING_RATE)
        for start in range(0, len(pcm48k), SLICE_BYTES):
            file.writeframes(decimator.feed(pcm48k[start : start + SLICE_BYTES]))
            await asyncio.sleep(0)
        file.writeframes(decimator.flush())
    return out.getvalue()
