"""Makes a portrait ready to talk: finds its mouth, draws its mouth shapes and its blinks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import (
    I420,
    IDLE_FRAMES,
    Box,
    Footage,
    Picture,
    PreparedAvatar,
    Preparer,
    Source,
)
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.pictures import normalised, opaque, over, plain, to_i420
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.avatar.viseme import lipline
from workers.adapters.avatar.viseme.bundle import Bundle, Patches, pack, unpack
from workers.adapters.avatar.viseme.drawing import Portrait
from workers.adapters.avatar.viseme.eyes import draw_blinks
from workers.adapters.avatar.viseme.geometry import (
    Mouth,
    box_of,
    mouth_of_box,
    mouth_of_landmarks,
    moved_into,
)
from workers.adapters.avatar.viseme.landmarks import Face, face_height, find_faces, find_mesh, refine_eyes
from workers.adapters.avatar.viseme.shapes import Rect, ShapeArtist
from workers.adapters.avatar.viseme.warp import Shape
from workers.adapters.errors import PreparationError

Floats = NDArray[np.float64]

SMALLEST_FACE = 64.0  # pixels from forehead to chin, after scaling
PROMINENT = 0.35  # a face of this much of the largest one's area is somebody, not a picture on the wall
SHAPE_BYTES = 24_000_000  # of mouth shapes; larger faces get fewer
GRIDS = ((13, 7), (11, 5), (9, 5), (8, 3), (6, 3))  # openings x widths
OPENING_SPACING = 1.15


@dataclass(slots=True)
class Found:
    """A face in a picture; no points where only a person knows where its mouth is."""

    mouth: Mouth
    points: Floats | None
    box: Box


class VisemePreparer(Preparer):
    def prepare(
        self,
        source: Source,
        *,
        mouth_box: Box | None = None,
        progress: Callable[[int], None] = lambda percent: None,
    ) -> PreparedAvatar:
        warnings: list[str] = []
        picture = normalised(_still(source, warnings))
        has_alpha = not opaque(picture)
        picture = bled(picture) if has_alpha else np.ascontiguousarray(picture[:, :, :3])
        progress(5)
        found = find(shown(picture), mouth_box, warnings)
        progress(15)
        bundle = _draw(picture, found, progress)
        data = pack(bundle)
        progress(95)
        height, width = picture.shape[:2]
        prepared = PreparedAvatar(
            bundle=data,
            width=width,
            height=height,
            mouth_box=found.box,
            landmarks=shares(found.points, width, height),
            preview=shown(picture),
            idle=idle_frames(data),
            idle_frames=IDLE_FRAMES,
            has_alpha=has_alpha,
            warnings=warnings,
        )
        progress(100)
        return prepared


def idle_frames(bundle: bytes) -> Iterator[I420]:
    """The frames of the idle loop; each is valid until the next is asked for."""
    artist = Portrait(unpack(bundle)).artist(None)
    for frame in range(IDLE_FRAMES):
        yield artist.draw(frame, 0.0, 0.0)


def bled(picture: Picture) -> Picture:
    """Carry colours out into what is transparent, so that edges do not darken when they are sampled."""
    alpha = picture[:, :, 3:].astype(np.float32) / 255
    colour, weight = picture[:, :, :3] * alpha, alpha
    filled, done = picture[:, :, :3].astype(np.float32), alpha > 0.98
    for size in (3, 9, 33):
        mean = cv2.blur(colour, (size, size))
        total = cv2.blur(weight, (size, size))[..., None]
        spread = mean / np.maximum(total, 1e-4)
        filled = np.where(done, filled, np.where(total > 1e-3, spread, filled))
        done = done | (total > 0.02)
    return np.dstack([np.clip(np.rint(filled), 0, 255).astype(np.uint8), picture[:, :, 3]])


def _still(source: Source, warnings: list[str]) -> Picture:
    if not isinstance(source, Footage):
        return source.image
    if not len(source.frames):
        raise PreparationError("no_frames", "The video has no pictures.")
    warnings.append("One frame of the video is used as a portrait; its own movement is not.")
    return best_frame(source)


def best_frame(footage: Footage) -> Picture:
    """The sharpest frame whose face looks most straight into the camera, with its mouth most closed."""
    count = len(footage.frames)
    best, merit = footage.frames[0], -np.inf
    for index in np.unique(np.linspace(0, count - 1, min(count, 24)).round().astype(int)):
        frame = footage.frames[index]
        faces = find_faces(frame)
        points = find_mesh(frame, faces[0]) if faces else None
        if points is None:
            continue
        mouth = mouth_of_landmarks(points)
        turned = abs(np.log(mouth.cheek_left / max(mouth.cheek_right, 1e-3)))
        value = mouth.face / 1000 - turned - 4 * lipline.gap_of(mouth)
        if value > merit:
            best, merit = frame, value
    return best


def shown(picture: Picture) -> Picture:
    if picture.shape[2] == 3:
        return picture
    return over(picture, plain(picture.shape[1], picture.shape[0]))


def find(picture: Picture, mouth_box: Box | None, warnings: list[str]) -> Found:
    """The one face of a BGR picture. Raises `PreparationError`."""
    height, width = picture.shape[:2]
    faces = find_faces(picture)
    points = find_mesh(picture, faces[0]) if faces else None
    if points is None or (mouth_box is not None and not _plausible(points, mouth_box, width, height)):
        return _by_box(picture, mouth_box, warnings)
    refuse_crowds(faces)
    if face_height(points) < SMALLEST_FACE:
        raise PreparationError("face_too_small", "The face is too small: use a closer picture.")
    if mouth_box is not None:
        points = moved_into(points, mouth_box, width, height)
    mouth = mouth_of_landmarks(points)
    if lipline.gap_of(mouth) >= lipline.TOOTHY_GAP:
        mouth.toothy = True
        warnings.append("The mouth is open in the picture; a closed mouth gives the best result.")
    else:
        lipline.snap(picture, mouth)
    turned = max(mouth.cheek_left, mouth.cheek_right) / max(1.0, min(mouth.cheek_left, mouth.cheek_right))
    if turned > 2.2:
        warnings.append("The head is turned; a face that looks into the camera gives the best result.")
    return Found(mouth, points, box_of(points, width, height))


def _by_box(picture: Picture, mouth_box: Box | None, warnings: list[str]) -> Found:
    """A drawn face that no network knows: its mouth is where a person says it is."""
    if mouth_box is None:
        raise PreparationError(
            "no_face", "No face was found in the picture. For a drawn face, mark its mouth."
        )
    height, width = picture.shape[:2]
    if (mouth_box.right - mouth_box.left) * width < 12 or mouth_box.bottom <= mouth_box.top:
        raise PreparationError("mouth_not_found", "The box around the mouth is too small.")
    mouth = mouth_of_box(mouth_box, width, height)
    tall = (mouth_box.bottom - mouth_box.top) * height
    lipline.snap(picture, mouth, reach=0.45 * tall / mouth.face)
    warnings.append("No face was found: the mouth moves, the eyes do not blink.")
    return Found(mouth, None, mouth_box)


def _plausible(points: Floats, box: Box, width: int, height: int) -> bool:
    """Whether a box that a person drew lies on the face that was found."""
    centre = np.array([(box.left + box.right) / 2 * width, (box.top + box.bottom) / 2 * height])
    low, high = points.min(axis=0), points.max(axis=0)
    return bool((centre > low).all() and (centre < high).all())


def refuse_crowds(faces: list[Face]) -> None:
    if sum(face.area > PROMINENT * faces[0].area for face in faces) > 1:
        raise PreparationError("several_faces", "There is more than one face in the picture.")


def _draw(picture: Picture, found: Found, progress: Callable[[int], None]) -> Bundle:
    artist = ShapeArtist(picture, found.mouth)
    rows, columns = _grid(artist.rect)
    openings = (np.linspace(0, 1, rows) ** OPENING_SPACING).tolist()
    widths = np.linspace(-1, 1, columns).tolist()
    drawn = []
    for opening in openings:
        drawn += [artist.draw(Shape(opening, width)) for width in widths]
        progress(15 + round(65 * len(drawn) / (rows * columns)))
    return _bundle(picture, found, artist.rect, _Shapes(drawn, openings, widths))


def at_rest(picture: Picture, found: Found) -> Bundle:
    """A portrait that moves and blinks but never speaks: its closed mouth is its only shape."""
    artist = ShapeArtist(picture, found.mouth)
    steps = [0.0, 1.0]  # a grid has two steps each way
    return _bundle(picture, found, artist.rect, _Shapes([artist.draw(Shape(0.0, 0.0))] * 4, steps, steps))


@dataclass(slots=True)
class _Shapes:
    """Mouths by opening, and by width within each."""

    drawn: list[Picture]
    openings: list[float]
    widths: list[float]


def _bundle(picture: Picture, found: Found, rect: Rect, shapes: _Shapes) -> Bundle:
    alpha = picture.shape[2] == 4
    eyes = (
        []
        if found.points is None
        else draw_blinks(picture, refine_eyes(picture, found.points), found.mouth.face)
    )
    return Bundle(
        portrait=to_i420(np.ascontiguousarray(picture[:, :, :3])),
        alpha=np.ascontiguousarray(picture[:, :, 3]) if alpha else None,
        mouth=found.mouth,
        openings=shapes.openings,
        widths=shapes.widths,
        mouths=Patches.of(rect, shapes.drawn, alpha=alpha).shaped(len(shapes.openings), len(shapes.widths)),
        eyes=[Patches.of(eye.rect, eye.patches, alpha=alpha) for eye in eyes],
    )


def _grid(rect: Rect) -> tuple[int, int]:
    """As many shapes as the size of the patch allows."""
    each = rect.width * rect.height * 3 // 2
    return next((grid for grid in GRIDS if grid[0] * grid[1] * each <= SHAPE_BYTES), GRIDS[-1])


def shares(points: Floats | None, width: int, height: int) -> list[tuple[float, float]]:
    if points is None:
        return []
    return [(float(x / width), float(y / height)) for x, y in points]


def make(config: ModelConfig, runtime: Runtime) -> VisemePreparer:
    """It needs neither options nor what the process offers."""
    return VisemePreparer()
