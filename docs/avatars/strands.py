"""Hair, brows, lashes and stubble as single strands, grown over the skin with numpy.

Every function works in the axes of body.py (x left, y up, z towards the viewer; decimetres).
A strand is a row of points from the root to the tip: arrays are [strand, point, 3].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

Field = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


@dataclass(slots=True)
class Skin:
    """The dense surface that strands grow on and glide over."""

    points: np.ndarray  # [n, 3]
    normals: np.ndarray  # [n, 3]
    rest: np.ndarray  # [n, 3]
    triangles: np.ndarray  # [t, 3]
    tree: cKDTree


def skin_of(points: np.ndarray, normals: np.ndarray, rest: np.ndarray, triangles: np.ndarray) -> Skin:
    return Skin(points, normals, rest, triangles, cKDTree(points))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def smooth(value: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def sow(skin: Skin, density: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Scatter roots by area and vertex density: points, normals and rest coordinates, each [count, 3]."""
    a, b, c = (skin.points[skin.triangles[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) * density[skin.triangles].mean(1)
    chosen = skin.triangles[rng.choice(len(area), count, p=area / area.sum())]
    u, v = rng.random(count), rng.random(count)
    fold = u + v > 1
    u[fold], v[fold] = 1 - u[fold], 1 - v[fold]
    shares = np.stack([1 - u - v, u, v], 1)[..., None]
    return tuple((values[chosen] * shares).sum(1) for values in (skin.points, skin.normals, skin.rest))


def grow(
    skin: Skin,
    roots: np.ndarray,
    start: np.ndarray,
    field: Field,
    length: np.ndarray,
    *,
    clearance: np.ndarray,
    steps: int = 14,
    turn: float = 0.5,
) -> np.ndarray:
    """Let strands follow `field(points, normals, t)` from `start`, at their `clearance` from the skin."""
    path = np.empty((len(roots), steps + 1, 3))
    path[:, 0] = point = roots.copy()
    heading = unit(start)
    for step in range(1, steps + 1):
        t = step / steps
        _, near = skin.tree.query(point)
        heading = unit(heading + turn * (unit(field(point, skin.normals[near], t)) - heading))
        point = point + heading * (length / steps)[:, None]
        _, near = skin.tree.query(point)
        height = ((point - skin.points[near]) * skin.normals[near]).sum(1)
        lack = np.maximum(clearance * min(1.0, 3.5 * t) - height, 0)
        point = point + skin.normals[near] * lack[:, None]
        path[:, step] = point
    return path


def tangent(vectors: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The part of each vector that lies in the surface."""
    return vectors - normals * (vectors * normals).sum(-1, keepdims=True)


def clump(paths: np.ndarray, guides: int, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Draw strands together in locks towards their tips."""
    chosen = rng.choice(len(paths), guides, replace=False)
    # Roots and tips decide together, so that no lock joins hair from the two sides of a parting.
    key = np.concatenate([paths[:, 0], 0.7 * paths[:, -1]], 1)
    _, nearest = cKDTree(key[chosen]).query(key)
    t = np.linspace(0, 1, paths.shape[1])[None, :, None]
    return paths + (paths[chosen][nearest] - paths) * amount * t**1.3


def frizz(paths: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Small slow wander of each strand, growing towards its tip."""
    t = np.linspace(0, 1, paths.shape[1])[None, :, None]
    phase = rng.random((len(paths), 1, 3)) * 6.28
    pace = rng.uniform(2, 7, (len(paths), 1, 3))
    return paths + amount * t * (np.sin(phase + pace * t) - np.sin(phase))


def waves(
    paths: np.ndarray, amount: float, length: float, rng: np.random.Generator, locks: int = 260
) -> np.ndarray:
    """Waves or curls: a helix about each strand, in step within a lock. `length`: of one turn."""
    chosen = rng.choice(len(paths), min(locks, len(paths)), replace=False)
    key = np.concatenate([paths[:, 0], 0.5 * paths[:, -1]], 1)
    _, lock = cKDTree(key[chosen]).query(key)
    phase = rng.random(len(chosen))[lock] * 6.28 + rng.normal(0, 0.35, len(paths))
    pace = rng.uniform(0.8, 1.25, len(chosen))[lock]
    step = np.linalg.norm(np.diff(paths, axis=1), axis=2)
    along = np.concatenate([np.zeros((len(paths), 1)), step.cumsum(1)], 1)
    along_unit = unit(np.gradient(paths, axis=1))
    side = unit(np.cross(along_unit, [0.0, 0.2, 1.0]))
    angle = 6.28 * along * pace[:, None] / length + phase[:, None]
    rise = np.clip(along / (1.2 * length), 0, 1)[..., None] * amount
    return paths + rise * (
        side * np.cos(angle)[..., None] + np.cross(along_unit, side) * np.sin(angle)[..., None]
    )


def resample(paths: np.ndarray, count: int) -> np.ndarray:
    """The same strands with `count` points each."""
    old, new = np.linspace(0, 1, paths.shape[1]), np.linspace(0, 1, count)
    left = np.clip(np.searchsorted(old, new, side="right") - 1, 0, len(old) - 2)
    share = ((new - old[left]) / (old[left + 1] - old[left]))[None, :, None]
    return paths[:, left] * (1 - share) + paths[:, left + 1] * share


def lashes(
    roots: np.ndarray, centre: np.ndarray, *, upper: bool, count: int, length: float, rng: np.random.Generator
) -> np.ndarray:
    """Lashes along a lid's rim `roots` [k, 3]."""
    x = np.sort(rng.uniform(roots[0, 0], roots[-1, 0], count))
    order = np.argsort(roots[:, 0])
    curve = [_poly(roots[order, 0], roots[order, axis], x) for axis in (1, 2)]
    base = np.stack([x, *curve], 1)
    middle = (roots[0, 0] + roots[-1, 0]) / 2
    away = (x - middle) / (roots[-1, 0] - roots[0, 0]) * 2
    outer = away * np.sign(centre[0])
    reach = length * (0.62 + 0.5 * np.clip(outer + 0.3, 0, 1)) * rng.uniform(0.75, 1.1, count)
    lift = 1.0 if upper else -0.75
    t = np.linspace(0, 1, 7)[None, :, None]
    fan = np.stack([away * 0.75 + rng.normal(0, 0.1, count), np.zeros(count), np.ones(count)], 1)
    path = base[:, None] + reach[:, None, None] * (fan[:, None] * t * 0.72)
    path[..., 1] += lift * reach[:, None] * (-0.1 * t + 0.9 * t**2)[..., 0]
    # Neighbours lean together in little tufts.
    tuft = np.sin(np.arange(count) * 0.9 + rng.uniform(0, 6)) * 0.22 * reach
    path[..., 0] += tuft[:, None] * (t**2)[..., 0]
    return path


def _poly(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    middle, span = x.mean(), np.ptp(x)
    return np.polyval(np.polyfit((x - middle) / span, y, 4), (at - middle) / span)
