"""The voices of this installation, and what speaks with them."""

from collections.abc import Collection

from django.conf import settings

from generation import providers
from generation.providers import accounts, listing
from project.accounts.models import User
from project.errors import InvalidInput, Unavailable
from workers.adapters.stt.base import Recognizer
from workers.adapters.tts.base import Synthesizer
from workers.speech.voices import Voice

__all__ = ["Voice", "available", "default", "find", "get", "recognizer", "synthesizer"]


def available(user: User | None = None) -> list[Voice]:  # noqa: ARG001
    """The voices of all configured providers, those of the installation's chain first."""
    names = dict.fromkeys([*settings.TTS_PROVIDERS, *providers.configured("tts")])
    return [voice for name in names if accounts.is_configured(name) for voice in listing.voices_of(name)]


def find(voice_id: str, user: User | None = None) -> Voice | None:
    """One voice that can be had."""
    return next((voice for voice in available(user) if voice.id == voice_id), None)


def get(voice_id: str, user: User | None = None) -> Voice:
    """As `find`. Raises `InvalidInput` that says why a voice cannot be had."""
    voice = find(voice_id, user)
    if voice is not None:
        return voice
    provider = next((name for name in accounts.known() if _belongs(voice_id, name)), None)
    if provider is not None and not accounts.is_configured(provider):
        detail = f"The provider {provider!r} of this voice is not configured here."
        raise InvalidInput(detail, code="provider_not_configured")
    raise InvalidInput(f"There is no voice {voice_id[:120]!r}.", code="voice_not_found")


def _belongs(voice_id: str, provider: str) -> bool:
    own = voice_id.startswith(f"{provider}:")
    return own or any(voice.id == voice_id for voice in listing.voices_of(provider))


def default() -> Voice:
    """Return the voice of an avatar that has none of its own."""
    voice = next(iter(available()), None)
    if voice is None:
        raise Unavailable("No provider of voices is configured.", code="provider_not_configured")
    return voice


def synthesizer(voice: Voice, wanted: Collection[str] = ()) -> Synthesizer:
    return providers.synthesizer(voice, wanted)


def recognizer(wanted: Collection[str] = ()) -> Recognizer:
    return providers.recognizer(wanted)
