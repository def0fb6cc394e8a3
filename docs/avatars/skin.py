"""Colours of the skin, painted per vertex in the coordinates of the unmorphed mesh (see body.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import map_coordinates
from strands import smooth

Colour = tuple[float, float, float]

# Height of the hairline over the angle about the head's axis: 0 is the forehead, 180 the nape.
HAIRLINE = np.array(
    [
        *((0, 7.93), (14, 7.94), (28, 7.92), (40, 7.84), (48, 7.68), (56, 7.5), (63, 7.38), (70, 7.22)),
        *((78, 7.2), (86, 7.34), (96, 7.38), (108, 7.25), (122, 6.9), (140, 6.62), (180, 6.5)),
    ]
)


@dataclass(frozen=True, slots=True)
class Tone:
    """What a person's skin is painted with; colours are sRGB, 0..1."""

    base: Colour
    flush: Colour  # cheeks, nose, ears
    lips: Colour
    shade: Colour  # eyelids and under the eyes
    flush_amount: float = 0.5
    shade_amount: float = 0.35
    lip_amount: float = 0.8
    freckles: float = 0.0
    mottle: float = 1.0
    scalp: Colour = (0.2, 0.15, 0.12)
    scalp_amount: float = 0.6
    stubble: float = 0.0
    roughness: float = 0.42
    lines: float = 0.0


def linear(colour: np.ndarray | Colour) -> np.ndarray:
    c = np.asarray(colour, float)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def mask(data: Path, name: str, uv: np.ndarray, soften: float) -> np.ndarray:
    """Read one of the mesh's UV masks at `uv` [n, 2]: 0..1."""
    image = (
        cv2.imread(str(data / "textures" / f"mpfb_{name}.jpg"), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
    )
    image = cv2.GaussianBlur(image, (0, 0), soften)
    at = (uv * [1, -1] + [0, 1]) * [image.shape[1], image.shape[0]] - 0.5
    return map_coordinates(image, [at[:, 1], at[:, 0]], order=1, mode="nearest")


def blob(
    rest: np.ndarray, centre: tuple[float, float, float], sigma: tuple[float, float, float]
) -> np.ndarray:
    """A soft spot, mirrored at the face's middle."""
    offset = (np.stack([np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]], 1) - centre) / sigma
    return np.exp(-0.5 * (offset**2).sum(1))


def hairline(rest: np.ndarray, *, recede: float = 0.0, lift: float = 0.0) -> np.ndarray:
    """Signed height above the hairline in decimetres; positive is scalp."""
    angle = np.degrees(np.arctan2(np.abs(rest[:, 0]), rest[:, 2] - 0.42))
    line = np.interp(angle, HAIRLINE[:, 0], HAIRLINE[:, 1]) + lift
    line = line + recede * np.exp(-(((angle - 34) / 17) ** 2)) + 0.55 * recede * np.exp(-((angle / 20) ** 2))
    return rest[:, 1] - line


def scalp(rest: np.ndarray, ears: np.ndarray, **shape: float) -> np.ndarray:
    """Density of the hair on the head, 0..1."""
    above = hairline(rest, **shape)
    jagged = 0.03 * np.sin(rest[:, 0] * 61 + 9 * np.sin(rest[:, 2] * 23)) + 0.02 * np.sin(
        rest[:, 0] * 137 + rest[:, 1] * 91
    )
    return smooth(above + jagged, -0.02, 0.13) * (1 - smooth(ears, 0.1, 0.4))


def beard(rest: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """Where a beard grows, 0..1."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    upper = np.interp(x, [0, 0.1, 0.26, 0.4, 0.55, 0.7, 0.8], [6.86, 6.87, 6.78, 6.74, 6.8, 7.0, 7.25])
    area = smooth(upper - y, -0.01, 0.09) * smooth(y, 6.1, 6.36) * smooth(z, 0.45, 0.75)
    philtrum = 1 - 0.5 * np.exp(-((x / 0.035) ** 2)) * (y > 6.7)
    side = 1 - 0.75 * blob(rest, (0.16, 6.5, 1.5), (0.05, 0.05, 0.3))
    return area * philtrum * side * (1 - smooth(lips, 0.08, 0.4))


def brow(
    rest: np.ndarray, *, height: float, thickness: float, arch: float, length: float = 1.0
) -> np.ndarray:
    """Density of the eyebrows, 0..1."""
    x, y = np.abs(rest[:, 0]), rest[:, 1]
    inner, outer = 0.125, 0.125 + 0.44 * length
    u = (x - inner) / (outer - inner)
    middle = (
        7.475
        + height
        + arch * (0.055 * np.sin(np.clip(u, 0, 1) * 2.3) - 0.03 * np.clip(u - 0.62, 0, 1) * 2)
        - 0.012 * (1 - np.clip(u * 3, 0, 1))
    )
    half = thickness * np.interp(u, [0, 0.12, 0.55, 1], [0.02, 0.032, 0.03, 0.006])
    across = 1 - smooth(np.abs(y - middle), half * 0.55, half * 1.15)
    return across * smooth(u, -0.06, 0.16) * (1 - smooth(u, 0.92, 1.05)) * (rest[:, 2] > 0.9)


def paint(rest: np.ndarray, masks: dict[str, np.ndarray], tone: Tone, rng: np.random.Generator) -> np.ndarray:
    """Linear albedo per vertex, [n, 3]."""
    colour = np.repeat(linear(tone.base)[None], len(rest), 0)

    def mix(target: Colour, amount: np.ndarray) -> None:
        nonlocal colour
        colour = colour + (linear(target) - colour) * np.clip(amount, 0, 1)[:, None]

    flush = 0.75 * blob(rest, (0.46, 6.98, 1.3), (0.2, 0.17, 0.4)) + 0.8 * blob(
        rest, (0.0, 6.95, 1.66), (0.12, 0.12, 0.2)
    )
    flush += (
        0.4 * blob(rest, (0, 6.4, 1.5), (0.16, 0.12, 0.3))
        + 0.85 * masks["ears"]
        + 0.22 * blob(rest, (0, 7.65, 1.5), (0.4, 0.2, 0.4))
    )
    mix(tone.flush, flush * tone.flush_amount)
    shade = 0.9 * blob(rest, (0.27, 7.13, 1.4), (0.13, 0.05, 0.3)) + 0.7 * smooth(masks["eyelids"], 0.1, 0.9)
    shade += 0.55 * blob(rest, (0.17, 7.28, 1.35), (0.05, 0.08, 0.2)) + 0.35 * blob(
        rest, (0.2, 6.86, 1.5), (0.06, 0.05, 0.2)
    )
    mix(tone.shade, shade * tone.shade_amount)
    wave = sum(np.sin(rest @ rng.normal(0, f, 3) + rng.uniform(0, 6)) for f in (3, 5, 8, 13, 21, 34)) / 6
    colour = colour * (1 + 0.05 * tone.mottle * wave[:, None] * np.array([0.6, 1.0, 1.0]))
    if tone.stubble:
        mix(tone.scalp, tone.stubble * beard(rest, masks["lips"]))
    mix(tone.scalp, tone.scalp_amount * masks["scalp"])
    mix(tone.scalp, 0.25 * masks["brow"])
    mix((0.1, 0.06, 0.05), 0.75 * masks["lash line"])
    lips = smooth(masks["lips"], 0.16, 0.62)
    mix(tone.lips, lips * tone.lip_amount)
    return np.clip(colour, 0, 1)
