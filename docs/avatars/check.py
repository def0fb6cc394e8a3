"""Looks at portraits as the product does: python docs/avatars/check.py PICTURE... [--draw DIR].

Prints, for each picture, the number of faces found, the share of the picture's height that the face takes
(landmarks 10 to 152), and the gap of the inner lips over that height; `--draw` saves them with landmarks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from workers.adapters.avatar.viseme import landmarks

LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)


def opaque(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image.shape[2] == 4:
        alpha = image[..., 3:] / 255
        image = (image[..., :3] * alpha + 200 * (1 - alpha)).astype(np.uint8)
    return image


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--draw", type=Path)
    chosen = parser.parse_args()
    bad = 0
    for path in chosen.pictures:
        image = opaque(path)
        faces = landmarks.find_faces(image)
        mesh = landmarks.find_mesh(image, faces[0]) if faces else None
        if mesh is None:
            print(f"{path}: no face ({len(faces)} detections)")
            bad += 1
            continue
        mesh = landmarks.refine_eyes(image, mesh)
        height = landmarks.face_height(mesh)
        gap = np.linalg.norm(mesh[13] - mesh[14]) / height
        share = height / len(image)
        print(f"{path}: {len(faces)} face, score {faces[0].score:.2f}, share {share:.2f}, gap {gap:.3f}")
        if chosen.draw:
            _draw(image, mesh, chosen.draw / f"{path.parent.name}-{path.stem}.png")
    return 1 if bad else 0


def _draw(image: np.ndarray, mesh: np.ndarray, target: Path) -> None:
    for ring, colour in (
        (LIPS, (0, 255, 0)),
        (INNER, (0, 255, 255)),
        (landmarks.LEFT_RIM, (255, 200, 0)),
        (landmarks.RIGHT_RIM, (255, 200, 0)),
    ):
        cv2.polylines(
            image,
            [(mesh[list(ring)] * 16).astype(np.int32)],
            isClosed=True,
            color=colour,
            thickness=1,
            lineType=cv2.LINE_AA,
            shift=4,
        )
    for point in (10, 152):
        cv2.circle(image, tuple(mesh[point].astype(int)), 4, (0, 0, 255), -1)
    cv2.imwrite(str(target), image)


if __name__ == "__main__":
    sys.exit(main())
