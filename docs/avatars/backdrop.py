"""Puts a rendered portrait before a background and writes the shipped picture.

python backdrop.py RENDER.png --style studio-blue|studio-warm|studio-grey|office|window|none --out FILE.webp
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

STUDIO = {
    "studio-blue": ((0.60, 0.68, 0.76), (0.27, 0.34, 0.43)),
    "studio-warm": ((0.80, 0.74, 0.67), (0.47, 0.41, 0.36)),
    "studio-grey": ((0.74, 0.75, 0.76), (0.40, 0.41, 0.43)),
    "studio-green": ((0.63, 0.70, 0.66), (0.29, 0.36, 0.33)),
}


def backdrop(style: str, width: int, height: int, seed: int) -> np.ndarray:
    """An RGB picture, float 0..1."""
    if style in STUDIO:
        return _studio(*STUDIO[style], width, height, seed)
    return _room(style, width, height, seed)


def _grain(width: int, height: int, seed: int, size: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (height, width)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), size)
    return soft / soft.std()


def _studio(
    light: tuple[float, ...], dark: tuple[float, ...], width: int, height: int, seed: int
) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    spot = np.exp(-(((x / width - 0.56) / 0.52) ** 2) - ((y / height - 0.36) / 0.5) ** 2)
    spot = spot + 0.03 * _grain(width, height, seed, width / 9)
    return (
        np.asarray(dark, np.float32)
        + (np.asarray(light, np.float32) - np.asarray(dark, np.float32)) * spot[..., None]
    )


def _room(style: str, width: int, height: int, seed: int) -> np.ndarray:
    """A room far out of focus: walls, window or shelves, lamps and plants as soft shapes."""
    rng = np.random.default_rng(seed)
    wall = np.array((0.66, 0.64, 0.61) if style == "office" else (0.72, 0.70, 0.66), np.float32)
    picture = np.ones((height, width, 3), np.float32) * wall
    picture *= np.linspace(1.06, 0.8, height, dtype=np.float32)[:, None, None]

    def box(left: float, top: float, right: float, bottom: float, colour: tuple[float, ...]) -> None:
        cv2.rectangle(
            picture,
            (int(left * width), int(top * height)),
            (int(right * width), int(bottom * height)),
            colour,
            -1,
        )

    if style == "office":
        box(0.64, -0.1, 1.1, 0.66, (0.93, 0.96, 1.0))
        for x in (0.78, 0.95):
            box(x, -0.1, x + 0.018, 0.66, (0.42, 0.42, 0.42))
        box(0.64, 0.3, 1.1, 0.318, (0.5, 0.5, 0.5))
        box(-0.1, 0.12, 0.26, 0.78, (0.40, 0.32, 0.26))
        for row in range(4):
            top = 0.15 + 0.155 * row
            box(-0.1, top, 0.24, top + 0.13, (0.26, 0.21, 0.18))
            x = -0.02
            while x < 0.21:
                wide = rng.uniform(0.014, 0.035)
                book = rng.uniform(0.25, 0.8) * np.array(
                    ((0.9, 0.8, 0.7), (0.5, 0.65, 0.8), (0.8, 0.5, 0.4), (0.6, 0.7, 0.55))[rng.integers(4)]
                )
                box(x, top + rng.uniform(0.02, 0.06), x + wide, top + 0.13, tuple(book.tolist()))
                x += wide + 0.004
        box(-0.1, 0.8, 1.1, 1.1, (0.42, 0.36, 0.32))
    else:
        box(-0.1, -0.1, 0.42, 0.8, (0.86, 0.93, 0.98))
        box(-0.1, 0.42, 0.42, 0.8, (0.70, 0.75, 0.68))
        for x in (0.12, 0.40):
            box(x, -0.1, x + 0.03, 0.8, (0.85, 0.83, 0.8))
        box(0.66, 0.18, 0.93, 0.42, (0.52, 0.45, 0.42))
        box(0.68, 0.195, 0.91, 0.405, (0.70, 0.62, 0.5))
        for _ in range(50):
            at = (int(rng.normal(0.9, 0.07) * width), int(rng.normal(0.7, 0.1) * height))
            cv2.ellipse(
                picture,
                at,
                (int(0.05 * width), int(0.014 * width)),
                rng.uniform(0, 180),
                0,
                360,
                (0.33, rng.uniform(0.38, 0.48), 0.32),
                -1,
            )
        box(-0.1, 0.86, 1.1, 1.1, (0.5, 0.42, 0.35))
    soft = cv2.GaussianBlur(np.clip(picture, 0, 1) ** 2.2, (0, 0), width / 26) ** (1 / 2.2)
    return np.clip(soft * 0.97, 0, 1)


def compose(render: Path, style: str, seed: int) -> np.ndarray:
    """8-bit RGB, or RGBA where the style is "none"."""
    image = cv2.imread(str(render), cv2.IMREAD_UNCHANGED).astype(np.float32) / 65535
    colour, alpha = image[..., 2::-1], image[..., 3:]
    if style == "none":
        return (np.clip(np.concatenate([colour, alpha], 2), 0, 1) * 255 + 0.5).astype(np.uint8)
    height, width = alpha.shape[:2]
    behind = backdrop(style, width, height, seed)
    noise = 0.003 * _grain(width, height, seed + 1, 0.7)[..., None]
    return (np.clip(colour * alpha + (behind + noise) * (1 - alpha), 0, 1) * 255 + 0.5).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("render", type=Path)
    parser.add_argument("--style", default="studio-blue", choices=[*STUDIO, "office", "window", "none"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, nargs=2, metavar=("W", "H"))
    chosen = parser.parse_args()
    picture = Image.fromarray(compose(chosen.render, chosen.style, chosen.seed))
    if chosen.size:
        picture = picture.resize(tuple(chosen.size), Image.Resampling.LANCZOS)
    picture.save(chosen.out, quality=93, method=6) if chosen.out.suffix == ".webp" else picture.save(
        chosen.out, quality=92
    )


if __name__ == "__main__":
    main()
