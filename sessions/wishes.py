"""What a caller asks of a new session, and the checks that make an order of it.

Every refusal has a code and the JSON Pointer of the field to blame.
"""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Q

from generation import voices
from generation.avatars import choosing
from generation.avatars.models import Avatar
from generation.providers import wishes as chains
from generation.voices import Voice
from project.accounts.models import User
from project.errors import InvalidInput
from sessions import personas
from sessions.models import Persona

MAX_METADATA_BYTES = 8 * 1024
MAX_ORIGINS = 20
SHORTEST_SECONDS = 10
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Wish:
    """One session as it was asked for."""

    avatar: str
    voice: str = ""
    persona: str = ""
    model: str = ""
    record: bool = True
    may_say: bool = False
    max_duration_seconds: int | None = None
    allowed_origins: list[str] = field(default_factory=list)
    providers: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Order:
    """A wish that can be fulfilled: the columns of its row."""

    columns: dict[str, Any]


def check(owner: User, wish: Wish) -> Order:
    """Resolve a wish. Raises `InvalidInput` with a code and a pointer."""
    avatar = _avatar(owner, wish)
    made = choosing.choose(avatar, wish.model, use="sessions")
    persona = _persona(owner, wish, avatar)
    snapshot = personas.snapshot(persona)
    voice = _voice(owner, wish, avatar, persona)
    return Order(
        {
            "avatar": avatar,
            "avatar_version": made.version,
            "bundle_key": made.bundle_key,
            "bundle_sha256": made.bundle_sha256,
            "idle_key": made.idle_key,
            "width": made.width,
            "height": made.height,
            "model": made.model,
            "voice": voice.id,
            "language": snapshot["language"] or voice.language,
            "persona": persona,
            "persona_snapshot": snapshot,
            "providers": chains.check(wish.providers, personas.PROVIDERS),
            "record": wish.record,
            "consent": settings.RECORDING_CONSENT if wish.record else "",
            "may_say": wish.may_say,
            "max_duration_seconds": _duration(wish),
            "allowed_origins": _origins(wish),
            "metadata": _metadata(wish),
        }
    )


def _avatar(owner: User, wish: Wish) -> Avatar:
    mine = Q() if owner.is_staff else Q(owner=owner) | Q(owner=None)
    avatar = Avatar.objects.filter(mine, Q(pk=wish.avatar) | Q(slug=wish.avatar)).first()
    if avatar is None:
        raise _bad("avatar", "avatar_not_found", "There is no such avatar.")
    if avatar.archived_at is not None:
        raise _bad("avatar", "avatar_archived", "This avatar was archived.")
    return avatar


def _persona(owner: User, wish: Wish, avatar: Avatar) -> Persona | None:
    if wish.persona:
        found = personas.find(owner, wish.persona)
        if found is None:
            raise _bad("persona", "persona_not_found", "There is no such persona.")
        return found
    return personas.default_for(owner, avatar)


def _voice(owner: User, wish: Wish, avatar: Avatar, persona: Persona | None) -> Voice:
    """The voice asked for, else the persona's, else the avatar's own if it speaks the persona's language."""
    if wish.voice:
        return _known_voice(owner, wish.voice, "voice")
    if persona is not None and persona.voice:
        return _known_voice(None, persona.voice, "persona")
    own = _known_voice(None, avatar.default_voice, "avatar") if avatar.default_voice else voices.default()
    if persona is None or _speaks(own, persona.language):
        return own
    return next((v for v in voices.available() if _speaks(v, persona.language)), own)


def _known_voice(owner: User | None, name: str, blame: str) -> Voice:
    """A voice; a persona's and an avatar's were allowed when they got it."""
    try:
        return voices.get(name, owner)
    except InvalidInput as error:
        raise _bad(blame, error.code, str(error)) from error


def _speaks(voice: Voice, language: str) -> bool:
    return voice.language.partition("-")[0].lower() == language.partition("-")[0].lower()


def _duration(wish: Wish) -> int:
    longest = settings.LIVE_MAX_DURATION_SECONDS
    if wish.max_duration_seconds is None:
        return longest
    if not min(SHORTEST_SECONDS, longest) <= wish.max_duration_seconds <= longest:
        detail = f"max_duration_seconds is from {SHORTEST_SECONDS} to {longest}."
        raise _bad("max_duration_seconds", "invalid_duration", detail)
    return wish.max_duration_seconds


def _origins(wish: Wish) -> list[str]:
    if len(wish.allowed_origins) > MAX_ORIGINS:
        detail = f"At most {MAX_ORIGINS} origins may be named."
        raise _bad("allowed_origins", "too_many_origins", detail)
    found = []
    for index, raw in enumerate(wish.allowed_origins):
        normal = origin(raw)
        if normal is None:
            detail = "An origin is a scheme and a host, such as https://shop.example.com."
            raise _bad(f"allowed_origins/{index}", "invalid_origin", detail)
        found.append(normal)
    return sorted(set(found))


def origin(raw: str) -> str | None:
    """Write an origin as browsers do; None when it is none.

    >>> origin("https://Shop.Example.com:443/")
    'https://shop.example.com'
    >>> origin("http://localhost:8080")
    'http://localhost:8080'
    >>> origin("https://*.example.com"), origin("null"), origin("https://a.example.com/page")
    (None, None, None)
    """
    try:
        parts = urlsplit(raw.strip())
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        return None
    extra = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in _PORTS or extra or not _is_host(host):
        return None
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")


def _is_host(host: str) -> bool:
    return bool(host) and all((c.isalnum() and c.isascii()) or c in "-._:" for c in host)


def _metadata(wish: Wish) -> dict[str, Any]:
    if len(json.dumps(wish.metadata)) > MAX_METADATA_BYTES:
        detail = f"metadata has at most {MAX_METADATA_BYTES} bytes as JSON."
        raise _bad("metadata", "metadata_too_large", detail)
    return wish.metadata


def _bad(name: str, code: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, code=code, pointer=f"/{name}")
