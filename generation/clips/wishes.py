"""What a caller asks for, and the checks that make an order of it.

A wish is well-formed (the serializer saw to that) and may still be impossible. Every refusal has a
code and the JSON Pointer of the field to blame.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from generation import voices
from generation.avatars import choosing
from generation.avatars.models import Avatar
from generation.avatars.selectors import Prepared
from generation.clips import narration, scene
from generation.providers import Kind
from generation.providers import wishes as chains
from generation.uploads.models import Upload, UploadKind
from project.accounts.models import User
from project.api import net
from project.errors import InvalidInput
from workers.rendering.aspects import ASPECTS

MAX_METADATA_BYTES = 8 * 1024
SPEEDS = (0.5, 2.0)
PROVIDERS: tuple[Kind, ...] = ("tts", "stt")
CAPTIONS = ("sidecar", "burned")
ASPECT_RATIOS = tuple(ASPECTS)
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class Wish:
    """One clip as it was asked for; `at` is where it stands in the body, for pointers."""

    avatar: str
    voice: str = ""
    model: str = ""
    script: str = ""
    upload: str = ""
    audio_url: str = ""
    speed: float = 1.0
    aspect_ratio: str = ""
    background: str | dict[str, Any] | None = None
    captions: str = "sidecar"
    callback_url: str = ""
    providers: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    at: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """A wish that can be fulfilled: the columns of its row."""

    columns: dict[str, Any]
    estimated_ms: int


def check(owner: User, wish: Wish) -> Order:
    """Resolve a wish. Raises `InvalidInput` with a code and a pointer."""
    avatar = _avatar(owner, wish)
    made = _prepared(wish, avatar)
    voice, upload, estimated_ms = _sound(owner, wish, avatar)
    columns = {
        "avatar": avatar,
        "avatar_version": made.version,
        "bundle_key": made.bundle_key,
        "bundle_sha256": made.bundle_sha256,
        "picture": scene.picture_of(made),
        "model": made.model,
        "voice": voice,
        "script": wish.script,
        "upload": upload,
        "audio_url": _public_url(wish, "audio_url"),
        "speed": _speed(wish),
        "aspect_ratio": _aspect_ratio(wish, made),
        "captions": _captions(wish),
        "callback_url": _public_url(wish, "callback_url"),
        "providers": chains.check(wish.providers, PROVIDERS, pointer=f"{wish.at}/providers"),
        "metadata": _metadata(wish),
        **_background(owner, wish, made),
    }
    return Order(columns, estimated_ms)


def _avatar(owner: User, wish: Wish) -> Avatar:
    mine = Q() if owner.is_staff else Q(owner=owner) | Q(owner=None)
    avatar = Avatar.objects.filter(mine, Q(pk=wish.avatar) | Q(slug=wish.avatar)).first()
    if avatar is None:
        raise _bad(wish, "avatar", "avatar_not_found", "There is no such avatar.")
    if avatar.archived_at is not None:
        raise _bad(wish, "avatar", "avatar_archived", "This avatar was archived.")
    return avatar


def _prepared(wish: Wish, avatar: Avatar) -> Prepared:
    """How it was prepared for the model: the one asked for, else its own."""
    try:
        return choosing.choose(avatar, wish.model, use="clips")
    except InvalidInput as error:
        raise _bad(wish, (error.pointer or "/avatar").lstrip("/"), error.code, str(error)) from error


def _sound(owner: User, wish: Wish, avatar: Avatar) -> tuple[str, Upload | None, int]:
    """Return the voice, the upload and an estimate of the length in milliseconds."""
    given = [name for name in ("script", "upload", "audio_url") if getattr(wish, name)]
    if len(given) > 1:
        raise _bad(wish, given[1], "too_many_sources", "Give one of script, upload and audio_url.")
    if wish.upload:
        upload = _audio_upload(owner, wish)
        return "", upload, upload.duration_ms or 0
    if wish.audio_url:
        return "", None, 0
    return _script(owner, wish, avatar)


def _script(owner: User, wish: Wish, avatar: Avatar) -> tuple[str, None, int]:
    if len(wish.script) > settings.MAX_SCRIPT_CHARACTERS:
        detail = (
            f"A script has at most {settings.MAX_SCRIPT_CHARACTERS} characters; this has {len(wish.script)}."
        )
        raise _bad(wish, "script", "script_too_long", detail)
    name, pointer = (wish.voice, "voice") if wish.voice else (avatar.default_voice, "avatar")
    try:
        # An avatar's own was allowed when it got it.
        voice = voices.get(name, owner if wish.voice else None) if name else voices.default()
    except InvalidInput as error:
        raise _bad(wish, pointer, error.code, str(error)) from error
    estimated_ms = narration.estimate_ms(wish.script, voice, _speed(wish))
    if not estimated_ms:
        raise _bad(wish, "script", "nothing_to_say", "There is nothing in this script to be said.")
    if estimated_ms > settings.MAX_CLIP_SECONDS * 1000:
        detail = (
            f"A clip has at most {settings.MAX_CLIP_SECONDS} seconds; this would have {estimated_ms // 1000}."
        )
        raise _bad(wish, "script", "clip_too_long", detail)
    return voice.id, None, estimated_ms


def check_length(script: str, *, pointer: str) -> None:
    most = settings.MAX_SCRIPT_CHARACTERS
    if len(script) > most:
        detail = f"A script has at most {most} characters; this has {len(script)}."
        raise InvalidInput(detail, code="script_too_long", pointer=pointer)


def _audio_upload(owner: User, wish: Wish) -> Upload:
    upload = _upload(owner, wish.upload, UploadKind.AUDIO)
    if upload is None:
        raise _bad(wish, "upload", "upload_not_found", "There is no such audio upload.")
    if (upload.duration_ms or 0) > settings.MAX_CLIP_SECONDS * 1000:
        detail = f"A clip has at most {settings.MAX_CLIP_SECONDS} seconds."
        raise _bad(wish, "upload", "clip_too_long", detail)
    return upload


def _upload(owner: User, upload_id: Any, kind: UploadKind) -> Upload | None:
    if not isinstance(upload_id, str):
        return None
    rows = Upload.objects.filter(owner=owner, kind=kind, expires_at__gt=timezone.now())
    return rows.filter(pk=upload_id).first()


def _speed(wish: Wish) -> float:
    if not SPEEDS[0] <= wish.speed <= SPEEDS[1]:
        raise _bad(wish, "speed", "invalid_speed", f"speed is from {SPEEDS[0]:g} to {SPEEDS[1]:g}.")
    return wish.speed


def _aspect_ratio(wish: Wish, made: Prepared) -> str:
    if not wish.aspect_ratio:
        return ""
    try:
        scene.plan(scene.picture_of(made), wish.aspect_ratio)
    except ValueError as error:
        code = "aspect_ratio_not_possible" if wish.aspect_ratio in ASPECT_RATIOS else "invalid_aspect_ratio"
        raise _bad(wish, "aspect_ratio", code, f"{error}.") from error
    return wish.aspect_ratio


def _captions(wish: Wish) -> str:
    if wish.captions not in CAPTIONS:
        raise _bad(wish, "captions", "invalid_captions", f"captions is one of {', '.join(CAPTIONS)}.")
    return wish.captions


def _background(owner: User, wish: Wish, made: Prepared) -> dict[str, Any]:
    """Return the columns of a color or picture behind an avatar that can be seen through."""
    background = wish.background
    if background is None:
        return {}
    if isinstance(background, str):
        if not _COLOR.fullmatch(background):
            raise _bad(wish, "background", "invalid_background", "A color is written #rrggbb.")
        columns: dict[str, Any] = {"background_color": background.lower()}
    elif isinstance(background, dict) and set(background) == {"upload"}:
        image = _upload(owner, background["upload"], UploadKind.IMAGE)
        if image is None:
            raise _bad(wish, "background/upload", "upload_not_found", "There is no such image upload.")
        columns = {"background_upload": image}
    else:
        raise _bad(wish, "background", "invalid_background", 'Give "#rrggbb" or {"upload": id}.')
    if not made.has_alpha:
        detail = "This avatar fills its whole picture; there is nothing to see behind it."
        raise _bad(wish, "background", "background_needs_transparency", detail)
    return columns


def _public_url(wish: Wish, name: str) -> str:
    url: str = getattr(wish, name)
    if url:
        try:
            net.check_url(url)
        except InvalidInput as error:
            raise _bad(wish, name, error.code, str(error)) from error
    return url


def _metadata(wish: Wish) -> dict[str, Any]:
    if len(json.dumps(wish.metadata)) > MAX_METADATA_BYTES:
        detail = f"metadata has at most {MAX_METADATA_BYTES} bytes as JSON."
        raise _bad(wish, "metadata", "metadata_too_large", detail)
    return wish.metadata


def _bad(wish: Wish, name: str, code: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, code=code, pointer=f"{wish.at}/{name}")
