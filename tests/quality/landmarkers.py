"""Eyes that did not draw: landmarks found afresh on finished, decoded frames."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from workers.adapters.avatar.base import Picture
from workers.adapters.avatar.viseme.landmarks import Face, face_height, find_faces, find_mesh

DLIB_MODEL = "shape_predictor_68_face_landmarks.dat"


@dataclass(frozen=True, slots=True)
class Lips:
    """Opening between the inner lips, and width between the corners, in face heights."""

    opening: float
    width: float


Landmarker = Callable[[Picture], Lips]


def mesh() -> Landmarker:
    """The 468-point mesh, on every frame anew, in the place of the face in the first one."""
    place: list[Face] = []

    def look(picture: Picture) -> Lips:
        if not place:
            place.append(find_faces(picture)[0])
        points = find_mesh(picture, place[0])
        if points is None:
            raise AssertionError("no face in a finished frame")
        height = face_height(points)
        gaps = [np.hypot(*(points[low] - points[high])) for high, low in ((13, 14), (82, 87), (312, 317))]
        return Lips(float(np.mean(gaps)) / height, float(np.hypot(*(points[308] - points[78]))) / height)

    return look


def dlib_68(folder: Path | None = None) -> Landmarker | None:
    """dlib's regression trees (`pip install dlib-bin`, model of `face_recognition_models`), if they are here.

    A second opinion that shares nothing with the network behind the drawing. Its face height is
    scaled to the mesh's: brow to chin is 0.70 of forehead to chin.
    """
    spec = find_spec("face_recognition_models")
    folder = folder or (Path(spec.origin).parent / "models" if spec and spec.origin else None)
    if find_spec("dlib") is None or folder is None or not (folder / DLIB_MODEL).exists():
        return None
    import dlib

    predict: Any = dlib.shape_predictor(str(folder / DLIB_MODEL))
    place: list[Any] = []

    def look(picture: Picture) -> Lips:
        if not place:
            left, top, right, bottom = (round(side) for side in find_faces(picture)[0].box)
            place.append(dlib.rectangle(left, top, right, bottom))
        shape = predict(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), place[0])
        points = np.array([(part.x, part.y) for part in shape.parts()], float)
        height = float(np.hypot(*(points[8] - points[19:25].mean(axis=0)))) / 0.70
        gaps = [np.hypot(*(points[low] - points[high])) for high, low in ((61, 67), (62, 66), (63, 65))]
        return Lips(float(np.mean(gaps)) / height, float(np.hypot(*(points[64] - points[60]))) / height)

    return look
