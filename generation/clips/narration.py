"""A script in the mouth of a voice."""

from collections.abc import Sequence

from generation import voices
from workers.speech.estimate import estimated_ms
from workers.speech.script import Sentence, sentences
from workers.speech.speak import Utterance, speak_sentence
from workers.speech.voices import Voice

__all__ = ["Sentence", "Utterance", "estimate_ms", "lines", "sample", "say"]


def lines(script: str, voice: Voice) -> list[Sentence]:
    """Return the sentences of a script: the same ones every time."""
    return sentences(script, voice.language)


def estimate_ms(script: str, voice: Voice, speed: float) -> int:
    """Guess how long a script takes to say; 0 when nothing in it sounds."""
    return estimated_ms(script, voice, speed)


def say(line: Sentence, voice: Voice, speed: float, wanted: Sequence[str] = ()) -> Utterance:
    """Synthesise one sentence; `wanted` are the providers that were asked for. Raises `AdapterError`."""
    return speak_sentence(voices.synthesizer(voice, wanted), line, voice, speed=speed)


def sample(voice: Voice) -> bytes:
    """Say the voice's own sample sentences: 48 kHz mono s16le. Raises `AdapterError`."""
    own = voices.synthesizer(voice, alone=True)  # of another voice it would be no sample
    return b"".join(speak_sentence(own, line, voice).pcm for line in lines(voice.sample_text, voice))
