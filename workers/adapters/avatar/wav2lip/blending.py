"""How much of the network's face is shown where: masks over the face's box, 0 to 1.

`basic` is a soft rectangle around the mouth. `easy_improved` follows the lips and reaches as far as a
speaking mouth moves the face, its edge spread wide. `opentalking_improved` keeps close to the lips,
adds a share of the jaw, and brings the network's colours to those of the skin around.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import Picture
from workers.adapters.avatar.viseme.geometry import JAW, LOWER_OUTER, NOSE_BASE, UPPER_OUTER
from workers.adapters.errors import AdapterError

Single = NDArray[np.float32]
LIPS = (*UPPER_OUTER, *LOWER_OUTER[-2:0:-1])
NOSE_TIP = 4
DILATION, FEATHER = 2.5, 2.0  # in heights of the mouth: across the mask's middle line, and over its edge
TIGHT_DILATION, TIGHT_FEATHER = 0.9, 0.9
JAW_SHARE = 0.6
THINNEST = 0.30  # closed lips count as this high, in widths of the mouth
RIM = 0.07  # of the box: its own edge is never shown
BASIC = (0.18, 0.42, 0.82, 0.90)
BASIC_SOFT = 0.05


def basic(points: Single, width: int, height: int) -> Single:
    mask = np.zeros((height, width), np.float32)
    left, top, right, bottom = BASIC
    mask[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = 1
    return _soft(mask, BASIC_SOFT * min(width, height))


def easy_improved(points: Single, width: int, height: int) -> Single:
    reach = _around_lips(points, width, height, DILATION, FEATHER)
    return np.asarray(reach * _frame(points, width, height), np.float32)


def opentalking_improved(points: Single, width: int, height: int) -> Single:
    lips = _around_lips(points, width, height, TIGHT_DILATION, TIGHT_FEATHER)
    jaw = _jaw(points, width, height) * np.float32(JAW_SHARE)
    return np.asarray(np.maximum(lips, jaw) * _frame(points, width, height), np.float32)


Mask = Callable[[Single, int, int], Single]
"""Landmarks in pixels of the box (468, 2), and its width and height, to weights (height, width)."""
MODES: dict[str, Mask] = {
    "basic": basic,
    "easy_improved": easy_improved,
    "opentalking_improved": opentalking_improved,
}
DEFAULT = "easy_improved"


def mode(name: Any) -> str:
    """The name of a mode. Raises `AdapterError` (`model_rejected`) for one that is not offered."""
    if name in MODES:
        return str(name)
    reason = f"must be one of {', '.join(MODES)}"
    if name == "easy_enhanced":
        reason = "easy_enhanced needs GFPGAN, whose checkpoints run code when they are read"
    raise AdapterError(
        f"The blending of wav2lip cannot be used: {reason}.",
        provider="wav2lip",
        retryable=False,
        code="model_rejected",
    )


def matched(patch: Picture, original: Picture, mask: Single) -> Picture:
    """The patch in the colours that the original has where the mask fades out."""
    ring = mask * (1 - mask)
    total = float(ring.sum())
    if total < 1:
        return patch
    means = [(side * ring[..., None]).sum(axis=(0, 1)) / total for side in (original, patch)]
    return np.asarray(np.clip(np.rint(patch + (means[0] - means[1])), 0, 255), np.uint8)


def _around_lips(points: Single, width: int, height: int, dilation: float, feather: float) -> Single:
    """1 on the lips, a half at `dilation` / 2 mouth heights from them, 0 a further `feather` / 2 away."""
    lips = points[list(LIPS)]
    wide, high = np.ptp(lips[:, 0]), np.ptp(lips[:, 1])
    unit = float(max(high, THINNEST * wide))
    # Distances need room: a mouth near the edge of the box is drawn whole, and cut afterwards.
    outside = np.full((height, width), 255, np.uint8)
    cv2.fillPoly(outside, [_fixed(lips)], 0, shift=4)
    if int(outside.min()) == 255:
        return np.zeros((height, width), np.float32)
    away = np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, 5), np.float32)
    middle, half = dilation / 2 * unit, feather / 2 * unit
    return 1 - _smooth((away - (middle - half)) / (2 * half))


def _jaw(points: Single, width: int, height: int) -> Single:
    """The chin and the lower cheeks, to the jaw's line."""
    jaw = points[list(JAW[4:-4])]
    mask = np.zeros((height, width), np.float32)
    mouth = points[list(LIPS)].mean(axis=0)
    # Inside of the jaw by a tenth: its own line moves with the chin, and stays the picture's.
    inner = mouth + (jaw - mouth) * 0.9
    cv2.fillPoly(mask, [_fixed(inner)], 1.0, shift=4)
    return _soft(mask, 0.06 * min(width, height))


def _frame(points: Single, width: int, height: int) -> Single:
    """1 inside the box and below the nose, fading to 0 at the box's edge and on the nose."""
    rows, columns = np.arange(height, dtype=np.float32) + 0.5, np.arange(width, dtype=np.float32) + 0.5
    x = _smooth(np.minimum(columns, width - columns) / (RIM * width))
    y = _smooth((height - rows) / (RIM * height))
    tip, base = float(points[NOSE_TIP, 1]), float(points[NOSE_BASE, 1])
    y *= _smooth((rows - tip) / max(1.0, base - tip))
    return y[:, None] * x[None, :]


def _soft(mask: Single, sigma: float) -> Single:
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(sigma, 0.5)), np.float32)


def _smooth(x: Single) -> Single:
    held = np.clip(x, 0, 1)
    return np.asarray(held * held * (3 - 2 * held), np.float32)


def _fixed(points: Single) -> NDArray[np.int32]:
    """Pixels with four binary places, as OpenCV draws polygons. Pixel centres lie at whole numbers."""
    return np.asarray(np.rint((points - 0.5) * 16), np.int32)
