"""Recognising recordings: for transcriptions, and for the captions of given sound."""

import io
import wave
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from django.conf import settings

from generation import voices
from generation.clips import sound
from generation.clips.models import Clip, ClipUtterance
from storage.s3 import store
from workers.adapters.stt.base import Segment, Transcript
from workers.rendering.audio import decode_audio

MAX_SECONDS = 600
HEARING_RATE = 16_000
CHUNK_SECONDS = 300  # what a recogniser is given at once; 10 MB
CHUNK_BYTES = CHUNK_SECONDS * 48_000 * 2


def recognise_file(path: Path, *, language: str = "") -> Transcript:
    """Recognise a sound file of up to ten minutes. Raises `MediaError` or `AdapterError`."""
    _, pieces = decode_audio(path, max_seconds=MAX_SECONDS, max_bytes=settings.MAX_AUDIO_BYTES)
    return recognise(pieces, language=language)


def recognise_clip(clip: Clip) -> list[list[int | str]]:
    """Recognise the stored sound of a clip: [start_ms, end_ms, text] of what is said when."""
    rows = ClipUtterance.objects.filter(clip=clip).order_by("index")
    pieces = (store().get_bytes(row.pcm_key) + bytes(2 * row.pause_samples) for row in rows)
    transcript = recognise(pieces, wanted=clip.providers.get("stt", ()))
    return [[s.start_ms, s.end_ms, s.text.strip()] for s in transcript.segments if s.text.strip()]


def recognise(pieces: Iterable[bytes], *, language: str = "", wanted: Sequence[str] = ()) -> Transcript:
    """Recognise 48 kHz mono s16le sound, however it is cut. Raises `AdapterError`."""
    recognizer = voices.recognizer(wanted)
    texts: list[str] = []
    segments: list[Segment] = []
    for number, chunk in enumerate(_chunks(pieces)):
        part = recognizer.recognize(wav(chunk), language=language)
        later = number * CHUNK_SECONDS * 1000
        texts.append(part.text.strip())
        segments += [Segment(s.start_ms + later, s.end_ms + later, s.text) for s in part.segments]
    return Transcript(" ".join(text for text in texts if text), tuple(segments))


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


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        while len(gathered) >= CHUNK_BYTES:
            yield bytes(gathered[:CHUNK_BYTES])
            del gathered[:CHUNK_BYTES]
    if gathered:
        yield bytes(gathered)
