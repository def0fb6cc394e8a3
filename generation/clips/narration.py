"""From a script to lines that a voice can say, and from a line to sound."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from generation import voices
from generation.voices import Voice
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import PcmChunk, SpeechRequest, Timings
from workers.speech import markup
from workers.speech.loudness import levelled
from workers.speech.resample import resampled
from workers.speech.split import split

SENTENCE_PAUSE_MS = 350


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence: what captions show and what the voice gets, and the silence around it."""

    shown: str
    said: str
    pause_ms: int
    lead_ms: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """Sound at 48 kHz mono s16le, and when its phones and words are heard."""

    pcm: bytes
    timings: dict[str, Any]


def lines(script: str, voice: Voice) -> list[Line]:
    found: list[Line] = []
    lead = 0
    for part in markup.parse(script):
        if isinstance(part, markup.Pause):
            if found:
                last = found[-1]
                found[-1] = Line(last.shown, last.said, last.pause_ms + part.ms, last.lead_ms)
            else:
                lead += part.ms
            continue
        for sentence in split(part.text):
            text = sentence.strip()
            if any(c.isalnum() for c in text):
                found.append(Line(markup.plain(text), text, SENTENCE_PAUSE_MS, lead))
                lead = 0
    return found


def estimate_ms(script: str, voice: Voice, speed: float) -> int:
    return round(
        sum(
            len(line.shown) * 1000 / voice.characters_per_second / speed + line.pause_ms + line.lead_ms
            for line in lines(script, voice)
        )
    )


def say(line: Line, voice: Voice, speed: float) -> Said:
    """Synthesise one line. Raises `AdapterError`."""
    request = SpeechRequest(line.said, voice.provider_voice, voice.language, speed)
    pcm, rate, phones, words = bytearray(), 0, [], []
    for event in voices.synthesizer(voice).synthesize(request):
        if isinstance(event, PcmChunk):
            pcm += event.pcm
            rate = event.sample_rate
        elif isinstance(event, Timings):
            phones += [[p.symbol, p.start_ms, p.end_ms] for p in event.phones]
            words += [[w.text, w.start_ms, w.end_ms] for w in event.words]
    if not pcm:
        raise AdapterError("The voice said nothing.", provider=voice.provider, retryable=True)
    samples = np.frombuffer(resampled(bytes(pcm), rate), np.int16).astype(np.float32) / 32768
    loud = (levelled(samples, voice.gain_db) * 32767).astype(np.int16)
    return Said(loud.tobytes(), {"phones": phones, "words": words})


def sample(voice: Voice) -> bytes:
    """Say the voice's own sample sentence: 48 kHz mono s16le. Raises `AdapterError`."""
    line = Line(voice.sample_text, voice.sample_text, 0)
    return say(line, voice, 1.0).pcm
