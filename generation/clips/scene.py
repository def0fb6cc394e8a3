"""What stands around the avatar: its background, and the film's shape."""

from dataclasses import dataclass

from generation.avatars.models import Avatar
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


def plan(avatar: Avatar, aspect_ratio: str) -> Layout:
    """Choose the film's size. Raises `ValueError` where this avatar cannot be shown like that."""
    return layout(avatar.width or 0, avatar.height or 0, aspect_ratio or None, face=_face(avatar))


def make_scene(clip: Clip) -> Scene:
    """Draw what stands still. Raises `ClipFailure` or `StorageError`."""
    avatar = clip.avatar
    width, height = avatar.width or 0, avatar.height or 0
    picture = _background(clip, width, height)
    if not clip.aspect_ratio:
        behind = None if picture is None else Background(cover(picture, width, height))
        return Scene(width, height, behind)
    still = None if picture is not None else _still(avatar)
    canvas = Canvas(plan(avatar, clip.aspect_ratio), background=picture, still=still)
    return Scene(width, height, canvas.behind(width, height), canvas)


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


def _still(avatar: Avatar) -> Picture | None:
    """Return the avatar's picture, of which the sides of a wider film are made."""
    if not avatar.preview_key:
        return None
    return open_picture(store().get_bytes(avatar.preview_key))[..., :3]


def _face(avatar: Avatar) -> Box | None:
    """Return where the face is, from the landmarks that preparation found."""
    points = avatar.findings.get("landmarks") or []
    if len(points) < 10:
        return None
    across, down = [point[0] for point in points], [point[1] for point in points]
    return Box(min(across), min(down), max(across), max(down))
