"""Voices copied from a recording, with the speaker's consent: making, finding and deleting them."""

from __future__ import annotations

import io
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from generation.providers import accounts
from generation.providers.models import ClonedVoice, CloneStatus, VoiceConsent
from generation.uploads.services import refused
from project.accounts import allowances
from project.accounts.models import User
from project.errors import InvalidInput, NotFound
from project.ids import new_id
from storage import keys
from storage.s3 import store
from workers import dispatch
from workers.rendering.audio import decode_audio
from workers.rendering.errors import MediaError
from workers.speech import loudness
from workers.speech.resample import TIMELINE_RATE, resampled

CONSENT_VERSION = "2026-11"
CONSENT_TEXT = (
    "I am the person whose voice is on this recording, or I have that person's explicit permission in "
    "writing. I agree that the voice is copied by the provider named here and used to speak texts of this "
    "account, and I know that the copy can be deleted at any time."
)
SOUND_RATE = 24_000
MIN_SECONDS, MAX_SECONDS = 5, 120
MAX_BYTES = 25 * 1024 * 1024
QUIETEST_LUFS = -50.0
MAX_GAIN_DB = 20.0
GENDERS = ("female", "male", "neutral")
SHOWN = (CloneStatus.PREPARING, CloneStatus.READY, CloneStatus.FAILED)
PREFIX = "clone:"


@dataclass(frozen=True, slots=True)
class Consent:
    """What the caller agreed to, and from where."""

    speaker: str
    version: str
    agreed: bool
    ip: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """A copy as it was asked for."""

    name: str
    provider: str
    language: str
    gender: str = "neutral"


def clone_create(owner: User, wish: Wish, file: UploadedFile[Any], consent: Consent) -> ClonedVoice:
    """Check everything, keep the recording, and have the voice copied.

    Raises `InvalidInput` or `LimitReached`. Nothing is written without a consent to the words in force.
    """
    _check_consent(consent)
    _check(wish)
    allowances_left(owner)
    wav, duration_ms = _sound(file)
    voice_id = new_id("vcl")
    sound_key = keys.clone_sound(voice_id)
    store().put_bytes(sound_key, wav, "audio/wav")
    try:
        with transaction.atomic():
            allowances_left(owner)
            voice = ClonedVoice.objects.create(
                id=voice_id,
                owner=owner,
                consent=_recorded(owner, consent),
                name=wish.name,
                provider=wish.provider,
                language=wish.language,
                gender=wish.gender,
                sound_key=sound_key,
                duration_ms=duration_ms,
            )
            dispatch.clone_voice(voice.pk)
    except BaseException:
        # No row tells of the recording: nobody would ever remove it.
        store().delete_prefix(keys.clone(voice_id))
        raise
    return voice


def visible_to(user: User) -> QuerySet[ClonedVoice]:
    """One's own copies; nobody sees those of others."""
    return ClonedVoice.objects.filter(owner=user, status__in=SHOWN).select_related("consent")


def clone_get(user: User, reference: str) -> ClonedVoice:
    """Find one's own copy by `clone:<id>` or its id. Raises `NotFound`."""
    voice = visible_to(user).filter(pk=reference.removeprefix(PREFIX)).first()
    if voice is None:
        raise NotFound("There is no such voice.", code="voice_not_found")
    return voice


def clone_delete(voice: ClonedVoice) -> None:
    """Take a copy out of use at once, and have it removed at its provider, however often that takes."""
    with transaction.atomic():
        rows = ClonedVoice.objects.filter(pk=voice.pk).exclude(status=CloneStatus.DELETED)
        # The lease falls: whoever is copying cannot finish, and removes what it made.
        rows.update(
            status=CloneStatus.DELETING,
            attempts=0,
            next_attempt_at=timezone.now(),
            lease_token="",
            lease_until=None,
        )
        dispatch.clone_voice(voice.pk)


def allowances_left(owner: User) -> None:
    """Raise `LimitReached` where the account keeps as many copies as it may."""
    with transaction.atomic():
        allowances.check_cloned_voices(owner, count=lambda: kept(owner))


def kept(owner: User) -> int:
    """Count the copies that this account keeps, or is about to."""
    counted = (CloneStatus.PREPARING, CloneStatus.READY)
    return ClonedVoice.objects.filter(owner=owner, status__in=counted).count()


def _check_consent(consent: Consent) -> None:
    if not consent.agreed:
        detail = "A voice is copied only with the consent of whom it belongs to."
        raise InvalidInput(detail, code="consent_required", pointer="/consent")
    if consent.version != CONSENT_VERSION:
        detail = f"The words of the consent are those of version {CONSENT_VERSION}; read them again."
        raise InvalidInput(detail, code="consent_outdated", pointer="/consent_version")
    if not consent.speaker.strip():
        raise InvalidInput("Say whose voice it is.", code="consent_required", pointer="/speaker")


def _check(wish: Wish) -> None:
    if not accounts.can(wish.provider, "cloning"):
        detail = f"There is no provider {wish.provider[:60]!r} that copies voices."
        raise InvalidInput(detail, code="provider_unknown", pointer="/provider")
    if not accounts.is_configured(wish.provider):
        detail = f"The provider {wish.provider!r} is not configured here."
        raise InvalidInput(detail, code="provider_not_configured", pointer="/provider")


def _recorded(owner: User, consent: Consent) -> VoiceConsent:
    return VoiceConsent.objects.create(
        given_by=owner,
        account=owner.email,
        speaker=consent.speaker.strip(),
        statement=CONSENT_TEXT,
        version=consent.version,
        ip=consent.ip,
    )


def _sound(file: UploadedFile[Any]) -> tuple[bytes, int]:
    """The recording as a levelled 24 kHz mono WAV, and its length in ms. Raises `InvalidInput`."""
    if (file.size or 0) > MAX_BYTES:
        raise refused(MediaError("too_large", f"The file has more than {MAX_BYTES} bytes."))
    with tempfile.TemporaryDirectory(prefix="parley-clone-") as folder:
        path = Path(folder) / "recording"
        with path.open("wb") as out:
            for chunk in file.chunks():
                out.write(chunk)
        try:
            _, pieces = decode_audio(
                path, max_seconds=MAX_SECONDS, max_bytes=MAX_BYTES, min_ms=MIN_SECONDS * 1000
            )
            pcm = b"".join(pieces)
        except MediaError as error:
            raise refused(error) from error
    levelled = _levelled(pcm)
    return _wav(resampled(levelled, TIMELINE_RATE, SOUND_RATE)), len(pcm) * 1000 // (2 * TIMELINE_RATE)


def _levelled(pcm: bytes) -> bytes:
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
    loud = loudness.lufs(samples)
    if loud < QUIETEST_LUFS:
        raise InvalidInput("Nobody is heard on this recording.", code="sound_silent", pointer="/file")
    gain = min(max(loudness.TARGET_LUFS - loud, -MAX_GAIN_DB), MAX_GAIN_DB)
    return np.rint(loudness.levelled(samples, gain) * 32767).astype("<i2").tobytes()


def _wav(pcm: bytes) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SOUND_RATE)
        file.writeframes(pcm)
    return out.getvalue()
