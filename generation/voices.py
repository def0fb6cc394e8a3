"""The voices of this installation, and where their providers are reached."""

from functools import cache

from django.conf import settings

from workers.adapters.endpoint import Endpoint
from workers.adapters.stt.base import Recognizer
from workers.adapters.tts.base import Synthesizer
from workers.speech import voices
from workers.speech.voices import LOCAL, Voice

__all__ = ["Voice", "available", "default", "find", "recognizer", "synthesizer"]


def available() -> list[Voice]:
    return voices.list_voices((LOCAL,))


def find(voice_id: str) -> Voice | None:
    return next((voice for voice in available() if voice.id == voice_id), None)


def default() -> Voice:
    """Return the voice of an avatar that has none of its own."""
    return available()[0]


@cache
def synthesizer(voice: Voice) -> Synthesizer:
    return voices.synthesizer_for(voice, _endpoints())


def recognizer() -> Recognizer:
    return voices.recognizer_for(LOCAL, _endpoints())


def _endpoints() -> dict[str, Endpoint]:
    return {LOCAL: Endpoint(settings.SPEECH_URL, settings.SPEECH_API_KEY)}
