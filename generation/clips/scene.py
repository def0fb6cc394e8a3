"""What stands around the avatar: its background, the film's shape, captions in the picture."""

from dataclasses import dataclass

from generation.clips.models import Clip
from workers.adapters.avatar.base import Background
from workers.rendering.fragment import Overlay, Stage


@dataclass(frozen=True, slots=True)
class Scene:
    """`width` and `height` are the avatar's; `canvas` puts its picture into a film of another shape."""

    width: int
    height: int
    background: Background | None = None
    canvas: Stage | None = None

    def overlay(self, start_frame: int, frames: int) -> Overlay | None:
        return None


def scene_of(clip: Clip) -> Scene:
    avatar = clip.avatar
    return Scene(avatar.width or 0, avatar.height or 0)
