"""Hairstyles: which strands a person wears."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import skin as painted
from body import Body
from people import Person
from strands import Skin, clump, frizz, grow, lashes, resample, smooth, sow, tangent, unit, waves

Part = tuple[str, np.ndarray, float, tuple[painted.Colour, float]]


def everything(
    skin: Skin, masks: dict[str, np.ndarray], body: Body, person: Person, rng: np.random.Generator
) -> Iterator[Part]:
    """Every strand object of a person: name, paths, radius and (colour, roughness)."""
    colour = (person.hair_colour, person.hair_roughness)
    if person.hair_style:
        paths = STYLES[person.hair_style](skin, masks, person, rng)
        yield "hair", paths, person.hair_radius, colour
    brows = _brows(skin, masks, person, rng)
    yield "brows", brows, 0.0013, (person.brow_colour or person.hair_colour, 0.4)
    if person.beard_length:
        yield (
            "beard",
            _beard(skin, masks, person, rng),
            0.0011,
            (person.beard_colour or person.hair_colour, 0.4),
        )
    for place, roots in body.lash_roots.items():
        side, lid = place.split("-")
        upper = lid == "upper"
        paths = lashes(
            roots,
            body.eyes[side][0],
            upper=upper,
            count=170 if upper else 70,
            length=person.lashes * (0.056 if upper else 0.024),
            rng=rng,
        )
        yield f"lashes {place}", paths, 0.0016 if upper else 0.0009, ((0.05, 0.035, 0.03), 0.4)


def _brows(skin: Skin, masks: dict[str, np.ndarray], person: Person, rng: np.random.Generator) -> np.ndarray:
    roots, normals, rest = sow(skin, masks["brow"] ** 1.2, person.brow_count, rng)
    u = np.clip((np.abs(rest[:, 0]) - 0.125) / 0.44, 0, 1)
    side = np.sign(rest[:, 0])
    middle = 7.475 + person.brow["height"]
    toward = np.clip((middle - rest[:, 1]) / 0.04, -1, 1)
    heading = np.stack(
        [
            side * np.interp(u, [0, 0.25, 1], [0.35, 1, 1]),
            np.interp(u, [0, 0.2, 0.6, 1], [1.0, 0.55, 0.1, -0.25]) + 0.3 * toward,
            np.zeros_like(u),
        ],
        1,
    )
    heading += rng.normal(0, 0.13, heading.shape)
    flat = unit(tangent(heading, normals))
    length = rng.uniform(0.045, 0.075, len(roots))
    return grow(
        skin,
        roots,
        flat + 0.45 * normals,
        lambda _p, n, _t: tangent(flat, n) - 0.1 * n,
        length,
        clearance=np.full(len(roots), 0.006),
        steps=6,
        turn=0.4,
    )


def _beard(skin: Skin, masks: dict[str, np.ndarray], person: Person, rng: np.random.Generator) -> np.ndarray:
    roots, normals, rest = sow(skin, painted.beard(skin.rest, masks["lips"]), person.beard_count, rng)
    down = np.stack(
        [
            0.25 * np.sign(rest[:, 0]) * smooth(np.abs(rest[:, 0]), 0.0, 0.3),
            -np.ones(len(roots)),
            0.15 * np.ones(len(roots)),
        ],
        1,
    )
    down += rng.normal(0, 0.3, down.shape)
    length = person.beard_length * rng.uniform(0.6, 1.1, len(roots))
    return grow(
        skin,
        roots,
        normals + 0.5 * unit(down),
        lambda _p, n, _t: tangent(down, n) + 0.15 * n,
        length,
        clearance=0.3 * length,
        steps=5,
        turn=0.45,
    )


def _roots(
    skin: Skin, masks: dict[str, np.ndarray], person: Person, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    return sow(skin, masks["scalp"], person.hair_count, rng)


def _crop(skin: Skin, masks: dict[str, np.ndarray], person: Person, rng: np.random.Generator) -> np.ndarray:
    """Short sides, longer top brushed from a parting to the side and forward."""
    roots, normals, rest = _roots(skin, masks, person, rng)
    top = smooth(rest[:, 1], 7.7, 8.15)
    front = smooth(rest[:, 2], 0.4, 1.2)
    sweep = person.part
    brushed = np.stack(
        [
            -sweep * np.ones(len(roots)),
            0.25 * front,
            0.55 - 0.75 * front + 0.2 * rng.normal(0, 1, len(roots)),
        ],
        1,
    )
    sides = np.stack([0 * top, -np.ones(len(roots)), -0.35 * np.ones(len(roots))], 1)
    heading = sides + (brushed - sides) * top[:, None] + rng.normal(0, 0.12, (len(roots), 3))
    length = (
        person.hair_length
        * (0.16 + 0.84 * smooth(rest[:, 1], 7.55, 8.1))
        * rng.uniform(0.75, 1.1, len(roots))
    )
    length *= 0.35 + 0.65 * smooth(painted.hairline(rest), 0.0, 0.16)
    start = unit(tangent(heading, normals)) + person.hair_lift * (0.4 + top[:, None]) * normals
    clearance = 0.02 + person.hair_volume * top * rng.uniform(0.3, 1.0, len(roots))
    paths = grow(
        skin,
        roots,
        start,
        lambda _p, n, _t: tangent(heading, n) - 0.05 * n,
        length,
        clearance=clearance,
        steps=10,
        turn=0.3,
    )
    return frizz(clump(paths, person.locks, 0.4, rng), 0.008, rng)


def _curls(skin: Skin, masks: dict[str, np.ndarray], person: Person, rng: np.random.Generator) -> np.ndarray:
    """Tight curls standing off the head."""
    roots, normals, rest = _roots(skin, masks, person, rng)
    length = (
        person.hair_length
        * rng.uniform(0.65, 1.05, len(roots))
        * (0.25 + 0.75 * smooth(painted.hairline(rest), 0.0, 0.3))
    )
    length *= person.sides + (1 - person.sides) * smooth(rest[:, 1], 7.2, 8.0)
    wild = unit(normals + rng.normal(0, 0.25, normals.shape))
    paths = grow(
        skin,
        roots,
        wild,
        lambda _p, _n, t: wild - np.array([0, 0.25 * t, 0]),
        length,
        clearance=np.full(len(roots), 0.01),
        steps=8,
        turn=0.3,
    )
    paths = resample(clump(paths, person.locks, 0.5, rng), 30)
    return waves(paths, person.wave, person.wave_length, rng, locks=person.locks)


def _loose(skin: Skin, masks: dict[str, np.ndarray], person: Person, rng: np.random.Generator) -> np.ndarray:
    """Parted hair that falls beside the face down to `person.hair_end`."""
    roots, normals, rest = _roots(skin, masks, person, rng)
    part = person.part
    side = np.where(rest[:, 0] + 0.03 * np.sin(rest[:, 2] * 9) > part, 1.0, -1.0)
    drop = np.maximum(roots[:, 1] - person.hair_end, 0.3)
    arc = np.maximum(0.75 - np.abs(rest[:, 0]), 0) * 0.75
    length = (drop + arc) * rng.uniform(0.93, 1.04, len(roots))
    layer = rng.random(len(roots)) ** 0.7
    clearance = 0.035 + person.hair_volume * layer * (0.5 + 0.5 * smooth(rest[:, 1], 7.2, 8.2))
    back = smooth(0.95 - rest[:, 2], -0.5, 0.8)
    outward = np.stack([side, -0.1 - 0.3 * back, -0.42 + 0.1 * back], 1)
    start = unit(tangent(outward, normals)) + 0.5 * normals

    def field(p: np.ndarray, _n: np.ndarray, t: float) -> np.ndarray:
        fall = np.stack([0 * side, -np.ones_like(side), 0 * side], 1)
        lead = max(0.0, 1 - 4.5 * t)
        wanted = fall + lead * outward
        # Nothing hangs in front of the face: strands before the ears are led out to its side.
        edge = person.frame * np.interp(p[:, 1], [6.0, 6.5, 7.0, 7.6, 8.0], [0.6, 0.7, 0.8, 0.8, 0.62])
        inside = smooth(edge - side * p[:, 0], 0.0, 0.3) * smooth(p[:, 2], 0.35, 0.8)
        wanted[:, 0] += side * 1.8 * inside
        wanted[:, 2] -= 0.5 * inside
        below = smooth(6.9 - p[:, 1], 0, 0.6)
        wanted[:, 0] -= side * person.tuck * below * smooth(side * p[:, 0], 0.55, 0.9)
        return wanted

    paths = grow(skin, roots, start, field, length, clearance=clearance, steps=26, turn=0.42)
    paths = frizz(clump(paths, person.locks, 0.5, rng), 0.03, rng)
    if person.wave:
        paths = waves(resample(paths, 44), person.wave, person.wave_length, rng, locks=person.locks)
    return paths


STYLES = {"crop": _crop, "curls": _curls, "loose": _loose}
