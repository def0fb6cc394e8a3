"""What stands around the avatar: its background, and the film's shape."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generation.avatars import selectors
from generation.avatars.models import Avatar
from generation.avatars.selectors import Prepared
from generation.clips.models import Clip
from generation.clips.outcome import ClipFailure
from storage.errors import ObjectMissing
from storage.s3 import store
from workers.adapters.avatar.base import Background, Box, Picture
from workers.rendering.canvas import Canvas, Layout, cover, layout, plain
from workers.rendering.picture import open_picture


@dataclass(frozen=True, slots=True)
class Scene:
    """`width` and `height` are the avatar's; `canvas` puts its picture into a film of another shape."""

    width: int
    height: int
    background: Background | None = None
    canvas: Canvas | None = None

    @property
    def film(self) -> tuple[int, int]:
        """Width and height of the finished film."""
        return (self.canvas.width, self.canvas.height) if self.canvas else (self.width, self.height)


def picture_of(made: Prepared) -> dict[str, Any]:
    """What a clip remembers of how its avatar looks: the preparation may be replaced meanwhile."""
    return {
        "width": made.width,
        "height": made.height,
        "face": _face(made.findings),
        "preview_key": made.preview_key,
    }


def plan(picture: Mapping[str, Any], aspect_ratio: str) -> Layout:
    """Choose the film's size. Raises `ValueError` where this avatar cannot be shown like that."""
    face = Box(*picture["face"]) if picture.get("face") else None
    return layout(picture.get("width") or 0, picture.get("height") or 0, aspect_ratio or None, face=face)


def make_scene(clip: Clip) -> Scene:
    """Draw what stands still. Raises `ClipFailure` or `StorageError`."""
    shown = clip.picture or _own_picture(clip.avatar)
    width, height = shown["width"] or 0, shown["height"] or 0
    picture = _background(clip, width, height)
    if not clip.aspect_ratio:
        behind = None if picture is None else Background(cover(picture, width, height))
        return Scene(width, height, behind)
    still = None if picture is not None else _still(shown)
    canvas = Canvas(plan(shown, clip.aspect_ratio), background=picture, still=still)
    return Scene(width, height, canvas.behind(width, height), canvas)


def _own_picture(avatar: Avatar) -> dict[str, Any]:
    """For clips of an earlier version, which remember nothing: they were drawn with its first model."""
    return picture_of(selectors.preparations(avatar)[0])


def _background(clip: Clip, width: int, height: int) -> Picture | None:
    if clip.background_color:
        return plain(clip.background_color, width, height)
    if clip.background_upload is None:
        return None
    try:
        data = store().get_bytes(clip.background_upload.original_key)
    except ObjectMissing as error:
        raise ClipFailure("upload_expired", "The background of this clip does not exist any more.") from error
    return open_picture(data)[..., :3]


def _still(shown: Mapping[str, Any]) -> Picture | None:
    """Return the avatar's picture, of which the sides of a wider film are made."""
    if not shown.get("preview_key"):
        return None
    return open_picture(store().get_bytes(shown["preview_key"]))[..., :3]


def _face(findings: Mapping[str, Any]) -> list[float] | None:
    """Return where the face is, from the landmarks that preparation found."""
    points = findings.get("landmarks") or []
    if len(points) < 10:
        return None
    across, down = [point[0] for point in points], [point[1] for point in points]
    return [min(across), min(down), max(across), max(down)]
