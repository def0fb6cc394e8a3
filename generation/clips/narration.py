"""A script in the mouth of a voice."""

import asyncio
from collections.abc import Sequence

from generation import voices
from workers.adapters import bridge
from workers.adapters.errors import AdapterError
from workers.speech.estimate import estimated_ms
from workers.speech.script import Sentence, sentences
from workers.speech.speak import Utterance, speak_sentence, speak_sentence_live
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


def sample(voice: Voice, *, seconds: float) -> bytes:
    """Say the voice's own sample sentences: 48 kHz mono s16le. Raises `AdapterError`, and after `seconds`."""
    own = voices.synthesizer(voice, alone=True)  # of another voice it would be no sample

    async def spoken() -> bytes:
        async with asyncio.timeout(seconds):
            said = [await speak_sentence_live(own, line, voice) for line in lines(voice.sample_text, voice)]
        return b"".join(utterance.pcm for utterance in said)

    try:
        return bridge.finished(spoken)
    except TimeoutError as error:
        detail = "The speech provider did not answer in time."
        raise AdapterError(
            detail, provider=voice.provider, retryable=True, code="provider_timeout"
        ) from error
