"""Makes a portrait ready for models that draw it elsewhere: the picture they are given, and an idle loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from workers.adapters.avatar.base import (
    I420,
    IDLE_FRAMES,
    Box,
    Footage,
    Picture,
    PreparedAvatar,
    Preparer,
    Source,
    Still,
)
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.pictures import normalised, opaque, over, plain
from workers.adapters.avatar.remote import bundle
from workers.adapters.avatar.remote.decoding import covering, decoded
from workers.adapters.avatar.remote.idle import Loop
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.avatar.viseme.landmarks import find_faces
from workers.adapters.avatar.viseme.prepare import VisemePreparer, best_frame
from workers.adapters.errors import PreparationError

HEADROOM = 0.42
"""A face's middle lies at this share of the picture's height."""
STILL = "No idle movement could be made for this picture: it keeps still while it listens."


class ReferencePreparer(Preparer):
    """Crops a portrait to what the model draws, around the face."""

    def __init__(self, width: int | None = None, height: int | None = None) -> None:
        """Without a size the portrait keeps its own."""
        self._size = (width, height) if width and height else None

    def prepare(
        self,
        source: Source,
        *,
        mouth_box: Box | None = None,
        progress: Callable[[int], None] = lambda percent: None,
    ) -> PreparedAvatar:
        warnings: list[str] = []
        whole = _opaque(normalised(_still(source, warnings)))
        progress(5)
        picture, box = self._cropped(whole, mouth_box)
        progress(10)
        moving = _moving(picture, box, progress, warnings)
        height, width = picture.shape[:2]
        reference = bundle.Reference(_png(picture), width, height, moving.bundle if moving else b"")
        progress(100)
        return PreparedAvatar(
            bundle=bundle.pack(reference),
            width=width,
            height=height,
            mouth_box=moving.mouth_box if moving else box or Box(0.35, 0.55, 0.65, 0.7),
            landmarks=moving.landmarks if moving else [],
            preview=picture,
            idle=Loop(picture, reference.idle).all(),
            idle_frames=IDLE_FRAMES,
            has_alpha=False,
            warnings=warnings,
        )

    def _cropped(self, picture: Picture, mouth_box: Box | None) -> tuple[Picture, Box | None]:
        """The picture as the model draws it, and where a person marked the mouth in it."""
        if self._size is None:
            return picture, mouth_box
        rows, columns = picture.shape[:2]
        width, height = self._size
        scale = min(columns / width, rows / height)
        size = (min(columns, round(width * scale)), min(rows, round(height * scale)))
        left, top = _corner(picture, mouth_box, size)
        part = np.ascontiguousarray(picture[top : top + size[1], left : left + size[0]])
        return covering(part, width, height), _moved(mouth_box, (columns, rows), (left, top), size)


def load(data: bytes, provider: str) -> tuple[bundle.Reference, Picture]:
    """What the preparer packed, and its picture as BGR. Raises `AdapterError` (`bundle_invalid`)."""
    reference = bundle.unpack(data, provider)
    return reference, covering(decoded(reference.picture, provider), reference.width, reference.height)


def idle_frames(reference: bundle.Reference, picture: Picture) -> Iterator[I420]:
    """One period of the idle loop; each frame is valid until the next is asked for."""
    return Loop(picture, reference.idle).all()


def make(config: ModelConfig, runtime: Runtime) -> ReferencePreparer:
    return ReferencePreparer(config.profile.width, config.profile.height)


def _still(source: Source, warnings: list[str]) -> Picture:
    if not isinstance(source, Footage):
        return source.image
    if not len(source.frames):
        raise PreparationError("no_frames", "The video has no pictures.")
    warnings.append("One frame of the video is used as a portrait; its own movement is not.")
    return best_frame(source)


def _opaque(picture: Picture) -> Picture:
    if picture.shape[2] == 3:
        return picture
    if opaque(picture):
        return np.ascontiguousarray(picture[:, :, :3])
    return over(picture, plain(picture.shape[1], picture.shape[0]))


def _corner(picture: Picture, mouth_box: Box | None, size: tuple[int, int]) -> tuple[int, int]:
    """The left and top of a part of this size that has the face in its middle, a little above."""
    rows, columns = picture.shape[:2]
    middle = _face(picture, mouth_box)
    left = round(middle[0] - size[0] / 2)
    top = round(middle[1] - size[1] * HEADROOM)
    return min(max(left, 0), columns - size[0]), min(max(top, 0), rows - size[1])


def _face(picture: Picture, mouth_box: Box | None) -> tuple[float, float]:
    rows, columns = picture.shape[:2]
    if mouth_box is not None:
        return (mouth_box.left + mouth_box.right) / 2 * columns, mouth_box.top * rows
    if faces := find_faces(picture):
        left, top, right, bottom = faces[0].box
        return (left + right) / 2, (top + bottom) / 2
    return columns / 2, rows * HEADROOM


def _moved(
    box: Box | None, whole: tuple[int, int], corner: tuple[int, int], size: tuple[int, int]
) -> Box | None:
    if box is None:
        return None

    def share(value: float, axis: int) -> float:
        return min(max((value * whole[axis] - corner[axis]) / size[axis], 0.0), 1.0)

    return Box(share(box.left, 0), share(box.top, 1), share(box.right, 0), share(box.bottom, 1))


def _moving(
    picture: Picture, box: Box | None, progress: Callable[[int], None], warnings: list[str]
) -> PreparedAvatar | None:
    """The same portrait with head movement, breathing and blinks; None where it has no face."""
    try:
        made = VisemePreparer().prepare(
            Still(picture), mouth_box=box, progress=lambda percent: progress(10 + round(percent * 0.85))
        )
    except PreparationError as error:
        if error.code == "several_faces":
            raise
        warnings.append(STILL)
        return None
    warnings += [warning for warning in made.warnings if "mouth is open" not in warning]
    return made


def _png(picture: Picture) -> bytes:
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise PreparationError("picture_unreadable", "The picture cannot be stored.")
    return data.tobytes()
