"""Writes to the catalogue that mean something.

An avatar is prepared by a task. Each claim of the task takes the next version number and a fresh
lease token: what a version stores is never overwritten, and a worker that lost its lease can
change nothing any more. While an avatar is `ready`, its objects are those of `version`.
"""

import logging
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.text import slugify

from generation import voices
from generation.avatars import sources
from generation.avatars.models import Avatar, AvatarStatus
from generation.avatars.sources import SourceFile
from project.accounts.models import User
from project.errors import Conflict, InvalidInput
from project.ids import new_id
from storage import keys, s3
from workers import dispatch, profiles

LEASE = timedelta(seconds=60)
MAX_ATTEMPTS = 3
# A message that has not led to a claim after this time is sent again.
RESEND_AFTER = timedelta(seconds=30)
# Objects of replaced versions stay this long: somebody may have just begun to read them.
KEEP_VERSIONS = timedelta(hours=2)
SMALLEST_MOUTH = 0.01  # of the picture's side
EDITABLE = ("name", "description", "default_voice", "mouth_box", "ai_disclosure", "metadata", "consent_by")

_log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Another worker prepares this avatar now, or nobody should."""


@dataclass(frozen=True, slots=True)
class Consent:
    """Who agreed that this person may be shown and made to speak, in which words, and when."""

    by: str
    text: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AvatarFacts:
    """What is told about a new avatar beside its picture."""

    name: str
    description: str = ""
    slug: str = ""
    model: str = "viseme"
    default_voice: str = ""
    mouth_box: dict[str, float] | None = None
    ai_disclosure: bool = True
    consent: Consent | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def avatar_create(
    owner: User | None,
    name: str,
    *,
    image: bytes | None = None,
    video: bytes | None = None,
    expect_face: bool = True,
    **facts: Any,
) -> Avatar:
    """Check a picture or a short video, store it and have it prepared.

    Without an owner it belongs to the shared catalogue. `facts` are those of `AvatarFacts`.
    A mouth box given here says that there need be no detectable face. Raises InvalidInput.
    """
    told = AvatarFacts(name=checked_name(name), **facts)
    _check_facts(told)
    if (image is None) == (video is None):
        raise InvalidInput(
            "Send an image or a video, one of the two.", code="source_required", pointer="/image"
        )
    source = sources.image_source(image) if image is not None else sources.video_source(video or b"")
    if expect_face and told.mouth_box is None and told.model == "viseme":
        sources.check_face(source)
    return avatar_store(owner, told, source)


def avatar_store(owner: User | None, told: AvatarFacts, source: SourceFile) -> Avatar:
    """Keep a checked source and its row, and enqueue the preparation."""
    avatar_id = new_id("avt")
    key = keys.avatar_source(avatar_id, source.extension)
    # Before the row: an object without a row is collected, a row without its object is broken.
    s3.store().put_bytes(key, source.data, source.content_type)
    avatar = Avatar(
        id=avatar_id,
        owner=owner,
        slug=told.slug,
        name=told.name,
        description=told.description,
        model=told.model,
        default_voice=told.default_voice,
        mouth_box=told.mouth_box,
        ai_disclosure=told.ai_disclosure,
        metadata=told.metadata,
        source_key=key,
        source_kind=source.kind,
    )
    if told.consent:
        _set_consent(avatar, told.consent)
    with transaction.atomic():
        _save_with_free_slug(avatar)
        _enqueue(avatar.pk)
    return avatar


def avatar_update(avatar: Avatar, changes: Mapping[str, Any], consent: Consent | None = None) -> Avatar:
    """Change what people may change. A new mouth box shows after the next preparation."""
    if unknown := set(changes) - set(EDITABLE):
        raise InvalidInput(f"{min(unknown)} cannot be changed.", code="not_editable")
    if "name" in changes:
        changes = {**changes, "name": checked_name(changes["name"])}
    _check_voice(changes.get("default_voice", ""))
    for name, value in changes.items():
        setattr(avatar, name, value)
    avatar.mouth_box = checked_mouth_box(avatar.mouth_box)
    fields = list(changes)
    if consent:
        _set_consent(avatar, consent)
        fields += ["consent_by", "consent_text", "consent_at"]
    avatar.save(update_fields=[*fields, "updated_at"])
    return avatar


def avatar_prepare(avatar: Avatar) -> Avatar:
    """Prepare (again). A preparation that is running is fenced off and its result dropped."""
    with transaction.atomic():
        changed = Avatar.objects.filter(pk=avatar.pk, archived_at=None).update(
            status=AvatarStatus.PREPARING,
            failure_code="",
            failure_message="",
            progress=0,
            attempts=0,
            lease_token="",
            lease_until=None,
            updated_at=timezone.now(),
        )
        if not changed:
            raise Conflict("An archived avatar cannot be prepared.", code="avatar_archived")
        _enqueue(avatar.pk)
    avatar.refresh_from_db()
    return avatar


def avatar_archive(avatar: Avatar) -> None:
    """Take an avatar out of the catalogue; clips that began with it keep its objects."""
    Avatar.objects.filter(pk=avatar.pk, archived_at=None).update(
        archived_at=timezone.now(), lease_token="", lease_until=None, updated_at=timezone.now()
    )
    avatar.refresh_from_db()


def avatar_restore(avatar: Avatar) -> None:
    """Put an archived avatar back."""
    Avatar.objects.filter(pk=avatar.pk).update(archived_at=None, updated_at=timezone.now())
    avatar.refresh_from_db()


def checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > 120:
        raise InvalidInput("A name has 1 to 120 characters.", code="invalid_name", pointer="/name")
    return name


def checked_mouth_box(box: Any) -> dict[str, float] | None:
    """Normalise {left, top, right, bottom} in fractions of the picture. Raises InvalidInput."""
    if box is None:
        return None
    if not isinstance(box, dict) or set(box) != {"left", "top", "right", "bottom"}:
        raise _bad_box("A mouth box has left, top, right and bottom.")
    numbers = [box[name] for name in ("left", "top", "right", "bottom")]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in numbers):
        raise _bad_box("The sides of a mouth box are numbers.")
    left, top, right, bottom = (float(number) for number in numbers)
    if not (left >= 0 and right <= 1 and top >= 0 and bottom <= 1):
        raise _bad_box("The mouth box lies outside the picture (0 to 1).")
    if right - left < SMALLEST_MOUTH or bottom - top < SMALLEST_MOUTH:
        raise _bad_box("The mouth box is too small.")
    return {"left": left, "top": top, "right": right, "bottom": bottom}


def _enqueue(avatar_id: str) -> None:
    Avatar.objects.filter(pk=avatar_id).update(enqueued_at=timezone.now())
    dispatch.prepare_avatar(avatar_id)


def _check_facts(told: AvatarFacts) -> None:
    checked_mouth_box(told.mouth_box)
    _check_voice(told.default_voice)
    if told.model not in profiles.model_ids():
        raise InvalidInput(
            f"No model {told.model!r} prepares avatars.", code="unknown_model", pointer="/model"
        )


def _check_voice(voice_id: str) -> None:
    if voice_id and voices.find(voice_id) is None:
        raise InvalidInput(
            f"There is no voice {voice_id!r}.", code="unknown_voice", pointer="/default_voice", status=422
        )


def _set_consent(avatar: Avatar, consent: Consent) -> None:
    avatar.consent_by = consent.by
    avatar.consent_text = consent.text
    avatar.consent_at = (consent.at or timezone.now()) if consent.by else None


def _save_with_free_slug(avatar: Avatar) -> None:
    base = slugify(avatar.slug or avatar.name)[:60] or "avatar"
    avatar.slug = base
    for _ in range(5):
        try:
            with transaction.atomic():
                avatar.save(force_insert=True)
        except IntegrityError:
            avatar.slug = f"{base}-{secrets.token_hex(3)}"
        else:
            return
    raise Conflict("No free short name was found; give another name.", code="slug_taken")


def _bad_box(message: str) -> InvalidInput:
    return InvalidInput(message, code="invalid_mouth_box", pointer="/mouth_box", status=422)
