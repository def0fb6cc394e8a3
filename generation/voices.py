"""The voices of this installation, and what speaks with them."""

from collections.abc import Collection

from django.conf import settings

from generation import providers
from generation.providers import accounts, clones, listing
from generation.providers.models import ClonedVoice, CloneStatus
from project.accounts.models import User
from project.errors import InvalidInput, Unavailable
from workers.adapters.stt.base import Recognizer
from workers.adapters.tts.base import Synthesizer
from workers.speech.voices import Voice

__all__ = ["Voice", "available", "cloned", "default", "find", "get", "kept", "recognizer", "synthesizer"]


def available(user: User | None = None, *, provider: str = "", language: str = "") -> list[Voice]:
    """A user's own copies, then the voices of all configured providers, those of the chain first."""
    names = dict.fromkeys([*settings.TTS_PROVIDERS, *providers.configured("tts")])
    asked = [name for name in names if accounts.is_configured(name) and provider in ("", name)]
    own = [] if user is None else _copies(user)
    found = [voice for voice in own if provider in ("", voice.provider)]
    found += [voice for name in asked for voice in listing.voices_of(name)]
    return [voice for voice in found if _speaks(voice, language)]


def find(voice_id: str, user: User | None = None) -> Voice | None:
    """One voice that can be had; with a user, by that user: copies are their owners' alone."""
    if voice_id.startswith(clones.PREFIX):
        return _copy(voice_id, user)
    for name in _candidates(voice_id):
        for voice in listing.voices_of(name) if accounts.is_configured(name) else ():
            if voice.id == voice_id:
                return voice
    return None


def kept(voice_id: str) -> Voice | None:
    """The voice of a stored session or clip, also while its provider is not configured: others may follow."""
    if voice_id.startswith(clones.PREFIX):
        rows = ClonedVoice.objects.filter(pk=voice_id.removeprefix(clones.PREFIX), status=CloneStatus.READY)
        row = rows.first()
        return None if row is None or row.provider not in accounts.known() else cloned(row)
    told = (voice for name in _candidates(voice_id) for voice in listing.voices_of(name))
    return next((voice for voice in told if voice.id == voice_id), None)


def get(voice_id: str, user: User | None = None) -> Voice:
    """As `find`. Raises `InvalidInput` that says why a voice cannot be had."""
    voice = find(voice_id, user)
    if voice is not None:
        return voice
    provider = next((name for name in _candidates(voice_id) if _belongs(voice_id, name)), None)
    if provider is not None and not accounts.is_configured(provider):
        detail = f"The provider {provider!r} of this voice is not configured here."
        raise InvalidInput(detail, code="provider_not_configured")
    raise InvalidInput(f"There is no voice {voice_id[:120]!r}.", code="voice_not_found")


def cloned(row: ClonedVoice) -> Voice:
    """A copy that is ready, as a voice."""
    entry = {
        "id": f"{clones.PREFIX}{row.pk}",
        "provider_voice": row.provider_voice,
        "name": row.name,
        "language": row.language,
        "gender": row.gender,
        "model": row.model,
    }
    return listing.made(row.provider, entry)


def default() -> Voice:
    """Return the voice of an avatar that has none of its own."""
    voice = next(iter(available()), None)
    if voice is None:
        raise Unavailable("No provider of voices is configured.", code="provider_not_configured")
    return voice


def synthesizer(voice: Voice, wanted: Collection[str] = (), *, alone: bool = False) -> Synthesizer:
    """What speaks with a voice; `wanted` are the providers that may take its place, with `alone` nobody."""
    return providers.synthesizer(voice, wanted, alone=alone)


def recognizer(wanted: Collection[str] = ()) -> Recognizer:
    return providers.recognizer(wanted)


def _candidates(voice_id: str) -> list[str]:
    """The providers that a voice's id may be of. Ids without a provider are of files that gave their own."""
    prefix, colon, _ = voice_id.partition(":")
    known = accounts.known()
    return [prefix] if colon and prefix in known else list(known)


def _belongs(voice_id: str, provider: str) -> bool:
    own = voice_id.startswith(f"{provider}:")
    return own or any(voice.id == voice_id for voice in listing.voices_of(provider))


def _copy(voice_id: str, user: User | None) -> Voice | None:
    rows = ClonedVoice.objects.filter(pk=voice_id.removeprefix(clones.PREFIX), status=CloneStatus.READY)
    row = (rows if user is None else rows.filter(owner=user)).first()
    return None if row is None or not accounts.is_configured(row.provider) else cloned(row)


def _copies(user: User) -> list[Voice]:
    rows = ClonedVoice.objects.filter(owner=user, status=CloneStatus.READY)
    return [cloned(row) for row in rows if accounts.is_configured(row.provider)]


def _speaks(voice: Voice, language: str) -> bool:
    """Whether a voice speaks a language: `en` is any English, `en-GB` that alone."""
    spoken, asked = voice.language.lower(), language.lower()
    return not asked or spoken == asked or spoken.startswith(f"{asked}-")
