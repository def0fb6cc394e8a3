"""Recognising recordings: for transcriptions, and for the captions of given sound."""

import io
import wave
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from django.conf import settings

from generation import voices
from generation.clips import sound
from workers.adapters.stt.base import Segment, Transcript
from workers.rendering.audio import decode_audio

MAX_SECONDS = 600
HEARING_RATE = 16_000
CHUNK_SECONDS = 300  # what a recogniser is given at once; 10 MB


def recognise_file(path: Path, *, language: str = "") -> Transcript:
    """Recognise a sound file of up to ten minutes. Raises `MediaError` or `AdapterError`."""
    _, pieces = decode_audio(path, max_seconds=MAX_SECONDS, max_bytes=settings.MAX_AUDIO_BYTES)
    return recognise(b"".join(pieces), language=language)


def recognise(pcm: bytes, *, language: str = "") -> Transcript:
    """Recognise 48 kHz mono s16le sound. Raises `AdapterError`."""
    parts = [voices.recognizer().recognize(wav(chunk), language=language) for chunk in _chunks(pcm)]
    segments = [
        Segment(s.start_ms + number * CHUNK_SECONDS * 1000, s.end_ms + number * CHUNK_SECONDS * 1000, s.text)
        for number, part in enumerate(parts)
        for s in part.segments
    ]
    return Transcript(" ".join(part.text.strip() for part in parts if part.text.strip()), tuple(segments))


def wav(pcm: bytes) -> bytes:
    """Return a 16 kHz WAV of 48 kHz sound."""
    margin = np.zeros(sound.TAPS // 2, np.int16)
    heard = sound.decimate(np.concatenate((margin, np.frombuffer(pcm, np.int16), margin)))
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(HEARING_RATE)
        file.writeframes(heard.tobytes())
    return out.getvalue()


def _chunks(pcm: bytes) -> Iterator[bytes]:
    size = CHUNK_SECONDS * 48_000 * 2
    yield from (pcm[start : start + size] for start in range(0, len(pcm), size))


def texts(segments: Iterable[Segment]) -> list[list[int | str]]:
    return [[s.start_ms, s.end_ms, s.text.strip()] for s in segments if s.text.strip()]
