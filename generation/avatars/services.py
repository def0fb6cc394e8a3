"""Writes to the catalogue that mean something.

An avatar is prepared by a task (`generation.avatars.claims` says who may), for its first model and
for each of the others that staff want it for.
"""

import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify

from generation import voices
from generation.avatars import claims, sources
from generation.avatars.models import Avatar, AvatarPreparation
from generation.avatars.sources import SourceFile
from project.accounts.models import User
from project.errors import Conflict, InvalidInput
from project.ids import new_id
from storage import keys, s3
from workers import dispatch, profiles

SMALLEST_MOUTH = 0.01  # of the picture's side
EDITABLE = ("name", "description", "default_voice", "mouth_box", "ai_disclosure", "metadata", "consent_by")


@dataclass(frozen=True, slots=True)
class Consent:
    """Who agreed that this person may be shown and made to speak, in which words, and when."""

    by: str
    text: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AvatarFacts:
    """What is told about a new avatar beside its picture.

    `model` is its first one; `models` are those that it is prepared for, None says `AVATAR_MODELS`.
    """

    name: str
    description: str = ""
    slug: str = ""
    model: str = "viseme"
    models: Sequence[str] | None = None
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
    others = standing_models() if told.models is None else told.models
    with transaction.atomic():
        _save_with_free_slug(avatar)
        _enqueue(avatar.pk)
        _add_models(avatar, others)
    return avatar


def avatar_update(
    avatar: Avatar,
    changes: Mapping[str, Any],
    consent: Consent | None = None,
    models: Sequence[str] | None = None,
) -> Avatar:
    """Change what people may change. A new mouth box shows after the next preparation.

    `models` are all that it is to be prepared for: missing ones begin, others are dropped.
    """
    if unknown := set(changes) - set(EDITABLE):
        raise InvalidInput(f"{min(unknown)} cannot be changed.", code="not_editable")
    if "name" in changes:
        changes = {**changes, "name": checked_name(changes["name"])}
    _check_voice(changes.get("default_voice", ""))
    if models is not None:
        check_models([name for name in models if name not in _models_asked(avatar)])
        _check_first(avatar, models)
    for name, value in changes.items():
        setattr(avatar, name, value)
    avatar.mouth_box = checked_mouth_box(avatar.mouth_box)
    fields = list(changes)
    if consent:
        _set_consent(avatar, consent)
        fields += ["consent_by", "consent_text", "consent_at"]
    with transaction.atomic():
        # Also where nothing else changed: what was dropped is kept for a while from now on.
        avatar.save(update_fields=[*fields, "updated_at"])
        if models is not None:
            avatar.preparations.exclude(model__in=models).delete()
            _add_models(avatar, models)
    return avatar


def avatar_prepare(avatar: Avatar, models: Sequence[str] | None = None) -> Avatar:
    """Prepare (again), for all its models or some of them; what is running is fenced off and dropped."""
    if avatar.archived_at is not None:
        raise Conflict("An archived avatar cannot be prepared.", code="avatar_archived")
    wanted = _models_asked(avatar) if models is None else models
    for name in wanted:
        if name not in _models_asked(avatar):
            raise InvalidInput(
                f"Nobody asked for {name} of this avatar; add it to its models.",
                code="avatar_not_prepared_for_model",
                pointer="/models",
            )
    with transaction.atomic():
        if avatar.model in wanted:
            claims.restart(Avatar.objects.filter(pk=avatar.pk, archived_at=None))
        claims.restart(AvatarPreparation.objects.filter(avatar=avatar, model__in=wanted))
    avatar.refresh_from_db()
    return avatar


def avatar_add_models(avatar: Avatar, models: Iterable[str]) -> int:
    """Have it prepared for these too; return for how many that is new."""
    with transaction.atomic():
        return _add_models(avatar, models)


def standing_models() -> list[str]:
    """Those of `AVATAR_MODELS` that this installation has: what is catalogued is prepared for them."""
    return [model for model in settings.AVATAR_MODELS if profiles.is_installed(model)]


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


def check_models(models: Iterable[str], pointer: str = "/models") -> None:
    """Refuse models that nobody knows, or that are not configured here. Raises InvalidInput."""
    known = profiles.configs()
    for model in models:
        if model not in known:
            raise InvalidInput(f"No model {model!r} prepares avatars.", code="unknown_model", pointer=pointer)
        if not profiles.is_installed(model):
            reason = known[model].missing or "It is not part of this installation."
            raise InvalidInput(f"{model}: {reason}", code="model_not_available", pointer=pointer)


def _check_first(avatar: Avatar, models: Sequence[str]) -> None:
    if avatar.model not in models:
        raise InvalidInput(
            f"{avatar.model} is the model that this avatar was made with; it stays.",
            code="first_model_stays",
            pointer="/models",
        )


def _models_asked(avatar: Avatar) -> list[str]:
    return [avatar.model, *avatar.preparations.values_list("model", flat=True)]


def _add_models(avatar: Avatar, models: Iterable[str]) -> int:
    """Rows for those that it is not prepared for yet, and their messages."""
    added = 0
    for model in dict.fromkeys(models):
        if model == avatar.model:
            continue
        row, made = AvatarPreparation.objects.get_or_create(
            avatar=avatar, model=model, defaults={"enqueued_at": timezone.now()}
        )
        if made:
            dispatch.prepare_avatar(row.pk)
            added += 1
    return added


def _enqueue(avatar_id: str) -> None:
    Avatar.objects.filter(pk=avatar_id).update(enqueued_at=timezone.now())
    dispatch.prepare_avatar(avatar_id)


def _check_facts(told: AvatarFacts) -> None:
    checked_mouth_box(told.mouth_box)
    _check_voice(told.default_voice)
    check_models([told.model], "/model")
    check_models(told.models or ())


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
