"""The avatars that come with the product, kept in step with their folders.

Each folder of `generation/avatars/builtin` holds `avatar.json` and a picture. An avatar is known
by its folder's name; a changed picture is prepared again, anything staff archived stays archived,
and words that staff changed stay theirs: only what changed in the folder is taken over.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from generation.avatars import services, sources
from generation.avatars.models import Avatar
from generation.avatars.services import AvatarFacts, Consent
from project.errors import InvalidInput
from storage import keys, s3

FOLDER = Path(__file__).resolve().parent / "builtin"
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, slots=True)
class Builtin:
    """One folder: what its JSON says, and its picture."""

    slug: str
    told: dict[str, Any]
    picture: Path

    @property
    def fingerprint(self) -> str:
        """Of everything that makes its mouth and looks."""
        digest = hashlib.sha256(self.picture.read_bytes())
        digest.update(json.dumps([self.model, self.told.get("mouth_box")], sort_keys=True).encode())
        return digest.hexdigest()

    @property
    def model(self) -> str:
        return str(self.told.get("model", "viseme"))

    @property
    def mouth_box(self) -> dict[str, float] | None:
        """As told: {left, top, right, bottom}, or the four numbers in that order."""
        box = self.told.get("mouth_box")
        if isinstance(box, list):
            box = dict(zip(("left", "top", "right", "bottom"), box, strict=False))
        return services.checked_mouth_box(box)

    @property
    def words(self) -> dict[str, str]:
        return {
            "name": str(self.told["name"]),
            "description": str(self.told.get("description", "")),
            "default_voice": str(self.told.get("default_voice") or self.told.get("voice") or ""),
        }


def builtins(folder: Path = FOLDER) -> list[Builtin]:
    """All folders with an `avatar.json`, by their `order`, then by name."""
    found = [_read(path.parent) for path in folder.glob("*/avatar.json")]
    return sorted(found, key=lambda one: (one.told.get("order", 100), one.slug))


def load(folder: Path = FOLDER) -> list[tuple[str, str]]:
    """Bring the catalogue in step; return (slug, what happened) for each. Safe to run at any start."""
    # Newest first is the catalogue's order, so the first one is made last.
    wanted = set(settings.BUILTIN_AVATARS)
    chosen = [one for one in builtins(folder) if "all" in wanted or one.slug in wanted]
    return [(one.slug, _load_or_refuse(one)) for one in reversed(chosen)]


def _load_or_refuse(one: Builtin) -> str:
    """One bad picture must not keep the service from starting."""
    try:
        return _load(one)
    except InvalidInput as error:
        return f"refused ({error.code}): {error}"


def _load(one: Builtin) -> str:
    avatar = Avatar.objects.filter(owner=None, metadata__builtin__slug=one.slug).first()
    if avatar is None:
        _create(one)
        return "created"
    known = avatar.metadata["builtin"]
    if avatar.archived_at is not None:
        return "archived"
    if known.get("fingerprint") != one.fingerprint:
        _replace(avatar, one)
        return "prepared again"
    added = services.avatar_add_models(avatar, services.standing_models())
    return "updated" if _update_words(avatar, known, one) or added else "unchanged"


def _create(one: Builtin) -> Avatar:
    facts = AvatarFacts(
        slug=one.slug,
        model=one.model,
        mouth_box=one.mouth_box,
        consent=Consent(by="Nobody real is shown", text=_origin(one)),
        metadata={"builtin": _marks(one)},
        name=one.words["name"],
        description=one.words["description"],
        default_voice=one.words["default_voice"],
    )
    return services.avatar_store(None, facts, sources.image_source(one.picture.read_bytes()))


def _replace(avatar: Avatar, one: Builtin) -> None:
    source = sources.image_source(one.picture.read_bytes())
    key = keys.avatar_source(avatar.pk, source.extension)
    s3.store().put_bytes(key, source.data, source.content_type)
    Avatar.objects.filter(pk=avatar.pk).update(
        source_key=key,
        model=one.model,
        mouth_box=one.mouth_box,
        metadata={**avatar.metadata, "builtin": _marks(one)},
        updated_at=timezone.now(),
        name=one.words["name"],
        description=one.words["description"],
        default_voice=one.words["default_voice"],
    )
    avatar.refresh_from_db()
    avatar.preparations.filter(model=avatar.model).delete()
    services.avatar_prepare(avatar)
    services.avatar_add_models(avatar, services.standing_models())


def _update_words(avatar: Avatar, known: dict[str, Any], one: Builtin) -> bool:
    before = known.get("words", {})
    changes = {name: value for name, value in one.words.items() if before.get(name) != value}
    if not changes:
        return False
    metadata = {**avatar.metadata, "builtin": _marks(one)}
    services.avatar_update(avatar, {**changes, "metadata": metadata})
    return True


def _marks(one: Builtin) -> dict[str, Any]:
    return {"slug": one.slug, "fingerprint": one.fingerprint, "words": one.words, "origin": _origin(one)}


def _origin(one: Builtin) -> str:
    parts = [one.told.get(name) for name in ("origin", "source", "credit", "licence", "license")]
    return "; ".join(str(part) for part in parts if part)


def _read(folder: Path) -> Builtin:
    told = json.loads((folder / "avatar.json").read_text(encoding="utf-8"))
    named = told.get("picture") or told.get("image")
    found = [folder / named] if named else sorted(p for p in folder.iterdir() if p.suffix in PICTURES)
    if not found or not found[0].is_file():
        raise FileNotFoundError(f"{folder} holds no picture")
    return Builtin(folder.name, told, found[0])
