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
from workers.adapters.stt.base import Recognizer, Segment, Transcript, joined
from workers.rendering.audio import decode_audio

MAX_SECONDS = 600
HEARING_RATE = 16_000
RATE = 48_000
CHUNK_SECONDS = 300  # what a recogniser is given at once; 10 MB
CAPTION_SECONDS = 8  # what one that tells no times is given, where times are wanted
MOMENT_BYTES = RATE // 20 * 2  # 50 ms


def recognise_file(path: Path, *, language: str = "") -> Transcript:
    """Recognise a sound file of up to ten minutes. Raises `MediaError` or `AdapterError`."""
    _, pieces = decode_audio(path, max_seconds=MAX_SECONDS, max_bytes=settings.MAX_AUDIO_BYTES)
    return recognise(pieces, language=language)


def recognise_clip(clip: Clip) -> list[list[int | str]]:
    """Recognise the stored sound of a clip: [start_ms, end_ms, text] of what is said when."""
    rows = ClipUtterance.objects.filter(clip=clip).order_by("index")
    pieces = (store().get_bytes(row.pcm_key) + bytes(2 * row.pause_samples) for row in rows)
    transcript = recognise(pieces, wanted=clip.providers.get("stt", ()), timed=True)
    return [[s.start_ms, s.end_ms, s.text.strip()] for s in transcript.segments if s.text.strip()]


def recognise(
    pieces: Iterable[bytes], *, language: str = "", wanted: Sequence[str] = (), timed: bool = False
) -> Transcript:
    """Recognise 48 kHz mono s16le sound, however it is cut. Raises `AdapterError`.

    With `timed` there are segments also where a provider tells no times.
    """
    recognizer = voices.recognizer(wanted)
    texts: list[str] = []
    segments: list[Segment] = []
    begin_ms, provider = 0, ""
    for chunk in _chunks(pieces, CHUNK_SECONDS):
        part = recognizer.recognize(wav(chunk), language=language)
        if timed and part.text.strip() and not part.segments:
            part = _piece_by_piece(recognizer, chunk, language)
        texts.append(part.text)
        segments += [Segment(s.start_ms + begin_ms, s.end_ms + begin_ms, s.text) for s in part.segments]
        begin_ms, provider = begin_ms + _ms(chunk), part.provider
    return Transcript(joined(texts), tuple(segments), provider)


def _piece_by_piece(recognizer: Recognizer, pcm: bytes, language: str) -> Transcript:
    """What is said in each few seconds, which are its times."""
    segments, begin_ms = list[Segment](), 0
    for piece in _chunks([pcm], CAPTION_SECONDS):
        found = recognizer.recognize(wav(piece), language=language)
        end_ms = begin_ms + _ms(piece)
        if found.text.strip():
            segments.append(Segment(begin_ms, end_ms, found.text.strip()))
        begin_ms = end_ms
    return Transcript(joined(s.text for s in segments), tuple(segments), recognizer.provider)


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


def _chunks(pieces: Iterable[bytes], seconds: int) -> Iterator[bytes]:
    """Sound of at most so many seconds, cut where it is quiet."""
    gathered, most = bytearray(), seconds * RATE * 2
    for piece in pieces:
        gathered += piece
        while len(gathered) > most:
            end = _quietest(bytes(gathered[:most]))
            yield bytes(gathered[:end])
            del gathered[:end]
    if gathered:
        yield bytes(gathered)


def _quietest(pcm: bytes) -> int:
    """The middle of the quietest moment in the last half of some sound, in bytes."""
    begin = len(pcm) // 2 // MOMENT_BYTES * MOMENT_BYTES
    moments = np.frombuffer(pcm, "<i2")[begin // 2 :]
    moments = moments[: moments.size // (MOMENT_BYTES // 2) * (MOMENT_BYTES // 2)]
    levels = np.abs(moments.astype(np.int32)).reshape(-1, MOMENT_BYTES // 2).mean(axis=1)
    return begin + int(np.argmin(levels)) * MOMENT_BYTES + MOMENT_BYTES // 2


def _ms(pcm: bytes) -> int:
    return len(pcm) // 2 * 1000 // RATE
