"""Follows one face through a film: its landmarks and its box in every picture."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from workers.adapters.avatar.base import Box, Picture
from workers.adapters.avatar.viseme.landmarks import (
    Face,
    Floats,
    face_height,
    find_faces,
    find_mesh,
    follow_mesh,
)
from workers.adapters.avatar.viseme.prepare import SMALLEST_FACE, refuse_crowds
from workers.adapters.errors import PreparationError

Track = NDArray[np.float64]
"""Shape (pictures, 468, 2)."""
CALM = 1.2  # pictures: how far a position is averaged over its neighbours
JUMP = 0.35  # of the face's height, from one picture to the next: that is another face
LOOKED_AT = 5  # the detector is slow without a GPU, and faces do not change their shape
MOST_LOST = 0.25  # of the pictures may show no face: hands, a turned head


def follow(
    pictures: Sequence[Picture], mouth_box: Box | None, progress: Callable[[int], None] = lambda percent: None
) -> tuple[Track, list[str]]:
    """Return the landmarks of the face in all pictures, and warnings. Raises `PreparationError`.

    Where several people are seen, `mouth_box` says whose mouth it is.
    """
    found: list[Floats | None] = []
    last: Floats | None = None
    for number, picture in enumerate(pictures):
        points = _next(picture, last, mouth_box)
        found.append(points)
        last = last if points is None else points
        progress(round(100 * (number + 1) / len(pictures)))
    return _whole(found)


def calm(track: Track) -> Track:
    """The same without the small jitter that each picture's landmarks have by themselves."""
    if len(track) < 3:
        return track
    return np.asarray(gaussian_filter1d(track, CALM, axis=0, mode="mirror"))


def boxes(track: Track, width: int, height: int) -> NDArray[np.int32]:
    """The box around the landmarks of each picture, from the forehead to the chin, in whole pixels."""
    return _bounded(np.stack([track.min(axis=1), track.max(axis=1)], axis=1), width, height)


def _next(picture: Picture, last: Floats | None, mouth_box: Box | None) -> Floats | None:
    if last is not None:
        points = follow_mesh(picture, last)
        if points is not None and _near(points, last):
            return points
    faces = find_faces(picture)
    if last is None and mouth_box is not None:
        faces = _with_mouth(faces, mouth_box, picture)
    if last is None and faces:
        refuse_crowds(faces)
    for face in faces:
        points = find_mesh(picture, face)
        if points is not None and (last is None or _near(points, last)):
            return points
    return None


def _near(points: Floats, last: Floats) -> bool:
    moved = np.hypot(*(points.mean(axis=0) - last.mean(axis=0)))
    return bool(moved < JUMP * face_height(last)) and 0.7 < face_height(points) / face_height(last) < 1.4


def _with_mouth(faces: list[Face], box: Box, picture: Picture) -> list[Face]:
    """The faces that hold the middle of a box that a person drew."""
    height, width = picture.shape[:2]
    x, y = (box.left + box.right) / 2 * width, (box.top + box.bottom) / 2 * height
    return [face for face in faces if face.box[0] < x < face.box[2] and face.box[1] < y < face.box[3]][:1]


def _whole(found: list[Floats | None]) -> tuple[Track, list[str]]:
    """Fill the gaps between the pictures where the face was found."""
    known = [number for number, points in enumerate(found) if points is not None]
    if not known or len(found) - len(known) > MOST_LOST * len(found):
        raise PreparationError("no_face", "No face was found in the video, or only now and then.")
    track = np.stack([points for points in found if points is not None]).reshape(len(known), -1)
    places = np.arange(len(found))
    filled = np.stack([np.interp(places, known, values) for values in track.T], axis=1)
    whole = filled.reshape(len(found), -1, 2)
    if np.median([face_height(points) for points in whole]) < SMALLEST_FACE:
        raise PreparationError("face_too_small", "The face is too small: use a closer video.")
    lost = len(found) - len(known)
    return whole, [f"The face was not found in {lost} of {len(found)} pictures."] if lost else []


def detected_boxes(
    track: Track,
    pictures: Sequence[Picture],
    detect: Callable[[Picture], tuple[float, float, float, float] | None],
    width: int,
    height: int,
) -> NDArray[np.int32]:
    """The detector's boxes, calmed. It looks at every `LOOKED_AT`th picture.

    In the others, and where it sees nothing, the box keeps its place on the face as that moves with
    the landmarks; so does the box of a single picture.
    """
    low, size = track.min(axis=1), track.max(axis=1) - track.min(axis=1)
    seen = {}
    for number in range(0, len(pictures), LOOKED_AT):
        box = detect(pictures[number])
        if box is not None:
            corners = np.array(box).reshape(2, 2)
            seen[number] = ((corners - low[number]) / size[number]).reshape(-1)
    if not seen:
        raise PreparationError("no_face", "The face detector found no face in the picture.")
    places = np.arange(len(track))
    shares = np.stack(
        [np.interp(places, list(seen), values) for values in np.array(list(seen.values())).T], 1
    )
    return _bounded(calm(low[:, None] + shares.reshape(-1, 2, 2) * size[:, None]), width, height)


def _bounded(corners: NDArray[np.float64], width: int, height: int) -> NDArray[np.int32]:
    """Corners of shape (pictures, 2, 2) as whole pixels inside the picture, never empty."""
    bounds = np.array([width, height])
    low = np.clip(np.floor(corners[:, 0]), 0, bounds - 8)
    high = np.clip(np.ceil(corners[:, 1]), low + 8, bounds)
    return np.concatenate([low, high], axis=1).astype(np.int32)
