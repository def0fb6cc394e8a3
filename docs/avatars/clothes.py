"""Clothes cut from the figure's own surface: shells off the skin, ribbed necklines, collars and lapels.

Cuts are drawn in the coordinates of the unmorphed mesh, so one pattern fits every figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import skin as painted
from people import Garment, Person
from scipy import sparse
from scipy.interpolate import interp1d
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree
from strands import Skin, smooth, unit


@dataclass(slots=True)
class Part:
    name: str
    points: np.ndarray
    faces: np.ndarray
    colour: painted.Colour
    thickness: float = 0.0
    levels: int = 0
    weave: float = 60.0
    folds: float = 0.5
    roughness: float = 0.85
    sheen: float = 0.3


@dataclass(slots=True)
class Shell:
    points: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    edge: np.ndarray  # [k, 3] the neckline, closed, from the front round the figure's left


def everything(surface: Skin, person: Person) -> Iterator[Part]:
    for number, garment in enumerate(person.clothes):
        shell = _shell(surface, garment)
        name = f"{garment.kind} {number}"
        yield Part(
            name,
            shell.points,
            shell.faces,
            garment.colour,
            0.035,
            0,
            garment.weave,
            garment.folds,
            garment.roughness,
            garment.sheen,
        )
        for part in FINISH[garment.kind](shell, garment, name):
            part.weave, part.roughness, part.sheen = garment.weave, garment.roughness, garment.sheen
            yield part


def _neckline(rest: np.ndarray, garment: Garment) -> np.ndarray:
    """Signed height above the neckline: positive is bare."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    level = garment.neck + 0.40 * (1.0 - np.clip(z, -0.4, 1.3))
    front = smooth(z, 0.35, 0.75)
    wide = np.maximum(x - garment.width, 0)
    across = np.clip(1 - x / max(garment.open, 1e-3), 0, None) if garment.open else 0.0
    return y - level + front * garment.depth * across - 0.9 * wide


def _shell(surface: Skin, garment: Garment) -> Shell:
    above = _neckline(surface.rest, garment)
    arms = np.abs(surface.rest[:, 0]) > 3.6
    faces = surface.triangles[(above[surface.triangles] < 0).any(1) & ~arms[surface.triangles].any(1)]
    used, faces = np.unique(faces, return_inverse=True)
    faces = faces.reshape(-1, 3)
    above, bare, normals = above[used], surface.points[used], surface.normals[used]
    average = _averaging(faces, len(used))
    edge_ward = smooth(-above, 0.0, 0.35)
    points = bare + normals * garment.offset * (0.55 + 0.45 * edge_ward)[:, None]
    loose = points.copy()
    for _ in range(garment.ease):
        loose = average @ loose
    points = points + (loose - points) * edge_ward[:, None]
    # Easing must not sink the cloth into the body.
    depth = ((points - bare) * normals).sum(1)
    points = points + normals * np.maximum(0.5 * garment.offset - depth, 0)[:, None]
    points = _snap(points, faces, above)
    crossing = np.abs(above) < 0.03
    edge = _loop(points[crossing & (above <= 0.0)])
    return Shell(points, _normals(points, faces), faces, edge)


def _averaging(faces: np.ndarray, count: int) -> sparse.csr_matrix:
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    graph = sparse.coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (count, count)).tocsr()
    graph.data[:] = 1.0
    return sparse.diags(1 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1)) @ graph


def _snap(points: np.ndarray, faces: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Move the vertices beyond the neckline onto it."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs[(above[pairs[:, 0]] > 0) & (above[pairs[:, 1]] <= 0)]
    total, weight = np.zeros_like(points), np.zeros(len(points))
    share = above[pairs[:, 0]] / (above[pairs[:, 0]] - above[pairs[:, 1]] + 1e-9)
    landing = points[pairs[:, 0]] + (points[pairs[:, 1]] - points[pairs[:, 0]]) * share[:, None]
    np.add.at(total, pairs[:, 0], landing)
    np.add.at(weight, pairs[:, 0], 1)
    result = points.copy()
    moved = weight > 0
    result[moved] = total[moved] / weight[moved, None]
    return result


def _normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (points[faces[:, i]] for i in range(3))
    flat = np.cross(b - a, c - a)
    result = np.zeros_like(points)
    for i in range(3):
        np.add.at(result, faces[:, i], flat)
    return unit(result)


def _loop(points: np.ndarray, count: int = 240) -> np.ndarray:
    """Points about the neck as one smooth closed curve, beginning at the front."""
    middle = np.array([0.0, 0.0, 0.45])
    angle = np.arctan2(points[:, 0] - middle[0], points[:, 2] - middle[2])
    order = np.argsort(angle)
    turn = np.concatenate([angle[order] - 2 * np.pi, angle[order], angle[order] + 2 * np.pi])
    tiled = np.tile(points[order], (3, 1))
    at = np.linspace(0, 2 * np.pi, count, endpoint=False)
    near = cKDTree(turn[:, None]).query(at[:, None], k=12)[1]
    return gaussian_filter1d(tiled[near].mean(1), 2.0, axis=0, mode="wrap")


def _tube(loop: np.ndarray, out: np.ndarray, garment: Garment, name: str) -> Part:
    """A rounded band along a closed curve; `out`: the cloth's normals there."""
    along = unit(np.roll(loop, -1, 0) - np.roll(loop, 1, 0))
    up = unit(np.cross(out, along))
    up = up * np.sign((up[:, 1:2]).mean() or 1.0)
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    # A flat oval: tall along the cloth, thin across it.
    ring = (
        loop[:, None]
        + up[:, None] * (garment.rib * np.sign(np.sin(angles)) * np.abs(np.sin(angles)) ** 0.8)[None, :, None]
    )
    ring = ring + out[:, None] * (0.035 * np.cos(angles))[None, :, None]
    return Part(
        name,
        ring.reshape(-1, 3),
        _grid(len(loop), 20, closed=True),
        garment.trim or garment.colour,
        folds=0.0,
    )


def _grid(rows: int, columns: int, *, closed: bool, tube: bool = True) -> np.ndarray:
    faces = []
    for r in range(rows if closed else rows - 1):
        for c in range(columns if tube else columns - 1):
            a, b = r * columns, ((r + 1) % rows) * columns
            d = (c + 1) % columns
            faces.append([a + c, b + c, b + d, a + d])
    return np.array(faces)


def _crew(shell: Shell, garment: Garment, name: str) -> Iterator[Part]:
    _, near = cKDTree(shell.points).query(shell.edge, k=30)
    out = unit(shell.normals[near].mean(1))
    out = gaussian_filter1d(out, 3.0, axis=0, mode="wrap")
    yield _tube(shell.edge, out, garment, name + " rib")


def _shirt(shell: Shell, garment: Garment, name: str) -> Iterator[Part]:
    """A turned-down collar on a stand, open at the front."""
    loop = shell.edge
    turn = np.linspace(0, 2 * np.pi, len(loop), endpoint=False)
    half = interp1d(turn, loop, axis=0, kind="linear", fill_value="extrapolate")
    gap = garment.gap
    at = np.linspace(gap, 2 * np.pi - gap, 150)
    base = half(np.clip(at, turn[0], turn[-1]))
    back = 0.5 - 0.5 * np.cos(at)
    middle = np.stack([0 * at, base[:, 1], np.full_like(at, 0.42)], 1)
    out = unit((base - middle) * [1, 0, 1])
    stand = (0.1 + 0.13 * back)[:, None]
    fall = (
        0.26
        + 0.02 * back
        + 0.17 * np.exp(-(((at - gap) / 0.42) ** 2))
        + 0.17 * np.exp(-(((2 * np.pi - gap - at) / 0.42) ** 2))
    )[:, None]
    up = np.array([0.0, 1.0, 0.0])
    top = base + up * stand - out * 0.015
    fold = top + up * 0.03 + out * 0.045
    lay = unit(out * 0.42 - up * 0.9)
    # The points spread away from each other at the front.
    spread = (
        np.sign(np.sin(at))[:, None]
        * (np.exp(-(((at - gap) / 0.5) ** 2)) + np.exp(-(((2 * np.pi - gap - at) / 0.5) ** 2)))[:, None]
    )
    lay = unit(lay + np.array([1.0, 0, 0]) * spread * 0.42)
    rows = [base - up * 0.04, base + up * stand * 0.5, top, fold, fold + lay * fall * 0.12 + out * 0.02]
    rows += [fold + lay * fall * k + out * 0.03 for k in (0.4, 0.7, 1.0)]
    sheet = np.stack(rows, 1)
    sheet = _lift(sheet, shell, 0.045)
    yield Part(
        name + " collar",
        sheet.reshape(-1, 3),
        _grid(len(at), len(rows), closed=False, tube=False),
        garment.trim or garment.colour,
        0.03,
        2,
        folds=0.1,
    )


def _lift(sheet: np.ndarray, shell: Shell, clearance: float) -> np.ndarray:
    """Raise what has sunk below the shell."""
    flat = sheet.reshape(-1, 3)
    _, near = cKDTree(shell.points).query(flat)
    height = ((flat - shell.points[near]) * shell.normals[near]).sum(1)
    return (flat + shell.normals[near] * np.maximum(clearance - height, 0)[:, None]).reshape(sheet.shape)


def _blazer(shell: Shell, garment: Garment, name: str) -> Iterator[Part]:
    """Lapels and collar: bands along the opening, folded back onto the cloth."""
    tree = cKDTree(shell.points)
    loop = shell.edge
    half = len(loop) // 2
    for side in (1, -1):
        line = loop[: half + 1] if side > 0 else np.concatenate([loop[:1], loop[: half - 1 : -1]])
        step = np.linalg.norm(np.diff(line, axis=0), axis=1)
        s = np.concatenate([[0], step.cumsum()])
        at = np.linspace(0.02, s[-1], 130)
        line = interp1d(s, line, axis=0)(at)
        along = unit(np.gradient(line, axis=0))
        normal = unit(shell.normals[tree.query(line, k=20)[1]].mean(1))
        aside = unit(np.cross(along, normal)) * side
        aside *= np.sign((aside[:, 0] * side).mean())
        notch = s[-1] * garment.notch
        lapel = np.interp(at, [0, 0.25 * notch, 0.97 * notch, notch], [0.1, 0.34, 0.66, 0.66])
        collar = np.interp(at, [notch, notch + 0.3, s[-1]], [0.4, 0.36, 0.3])
        width = np.where(at < notch, lapel, collar)
        for label, keep in (("lapel", at <= notch), ("collar", at >= notch - 0.01)):
            k = np.linspace(0, 1, 9)
            sheet = line[keep, None] + aside[keep, None] * (width[keep, None] * k - 0.035)[..., None]
            lift = (0.05 if label == "lapel" else 0.075) * np.sin(np.clip(k * 2.4, 0, 1.57)) + 0.012
            _, near = tree.query(sheet.reshape(-1, 3), k=12)
            ground = shell.points[near].mean(1).reshape(sheet.shape)
            up = unit(shell.normals[near].mean(1)).reshape(sheet.shape)
            height = ((sheet - ground) * up).sum(-1)
            sheet = sheet + up * (lift[None] - height)[..., None]
            yield Part(
                f"{name} {label} {side}",
                sheet.reshape(-1, 3),
                _grid(int(keep.sum()), 9, closed=False, tube=False),
                garment.trim or garment.colour,
                0.03,
                1,
                folds=0.1,
            )


FINISH = {"crew": _crew, "shirt": _shirt, "blazer": _blazer}
