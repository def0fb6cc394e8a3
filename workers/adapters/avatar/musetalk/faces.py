"""Where in a picture MuseTalk paints: the face's box, its crop, and the mask that lays the result over it.

A box is given in fractions of pixels, so that a face that moves slowly does not move in steps; pictures are
sampled at the places that `cv2.resize` would take for a box of whole pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import Picture
from workers.adapters.avatar.musetalk.options import JAW, NECK, Options

SIDE = 256
"""Of the faces that the networks see and paint."""
SQUARE = 512
"""Of the pictures that are parsed."""
EDGE = 12.0
"""Pixels of a painted face over which its mask vanishes towards the sides and below."""
LEAST = 8.0
BETWEEN_EYES, NOSE_TIP = 168, 4
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152),
    *(148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
NOSE = (4, 5, 45, 275, 220, 440, 115, 344, 48, 278, 64, 294, 98, 327, 97, 326, 2)
# Parts of a face as BiSeNet numbers them.
SKIN, NOSE_PART, NECK_PART, LIPS = 1, 10, 14, (11, 12, 13)
MIDDLE = 80
"""Half the width of the middle of a parsed square, where the jaw is not narrowed."""

Floats = NDArray[np.float64]
Points = NDArray[np.float32]
Mask = NDArray[np.uint8]


def boxes(points: Sequence[Points], fallback: Floats, size: tuple[int, int], options: Options) -> Floats:
    """The face's box in each picture: left, top, right, bottom; shape (n, 4).

    `fallback` are the boxes of pictures whose landmarks do not make a face; `size` is (width, height).
    """
    found = np.stack([_box(one, other, options) for one, other in zip(points, fallback, strict=True)])
    width, height = size
    return np.clip(found, 0.0, np.array([width, height, width, height], np.float64))


def _box(points: Points, fallback: Floats, options: Options) -> Floats:
    """From ear to ear, and as far above the lower bridge of the nose as the chin is below it."""
    left, top = points.min(axis=0).astype(np.float64)
    right, bottom = points.max(axis=0).astype(np.float64)
    if min(right - left, bottom - top) < LEAST:
        left, top, right, bottom = fallback
        middle = (top + bottom) / 2 + options.bbox_shift
    else:
        bridge, tip = float(points[BETWEEN_EYES, 1]), float(points[NOSE_TIP, 1])
        middle = bridge + (tip - bridge) * 2 / 3 + options.bbox_shift
    above = max(0.0, 2 * middle - bottom)
    return np.array([left, min(above, bottom - LEAST), right, bottom + options.extra_margin])


def crop(picture: Picture, box: Floats) -> Picture:
    """The face, 256 by 256."""
    return np.asarray(_sampled(picture, _map(box, (SIDE, SIDE)), SIDE, cv2.BORDER_REPLICATE), np.uint8)


def square(picture: Picture, box: Floats, options: Options) -> Picture:
    """The face with what is around it, 512 by 512, black outside of the picture."""
    return np.asarray(
        _sampled(picture, _map(around(box, options), (SQUARE, SQUARE)), SQUARE, cv2.BORDER_CONSTANT), np.uint8
    )


def around(box: Floats, options: Options) -> Floats:
    """The square around a box."""
    left, top, right, bottom = box
    half = max(right - left, bottom - top) / 2 * options.expand
    across, down = (left + right) / 2, (top + bottom) / 2
    return np.array([across - half, down - half, across + half, down + half])


def of_parts(parts: Mask, options: Options) -> Mask:
    """What of a parsed square is painted anew: 0 or 255."""
    lips = np.isin(parts, LIPS)
    wanted = (parts == SKIN) | lips
    if options.parsing_mode == NECK:
        wanted |= parts == NECK_PART
    if options.parsing_mode == JAW:
        wanted = (_jaw(parts == SKIN) & (parts != NOSE_PART)) | lips
    return np.where(wanted, 255, 0).astype(np.uint8)


def _jaw(skin: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The skin, a little larger around mouth and chin, and narrower at the cheeks, where hair begins."""
    grown = cv2.dilate(skin.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (21, 21)))
    narrow = cv2.erode(grown, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (69, 5)))
    middle = np.abs(np.arange(SQUARE) - SQUARE // 2) < MIDDLE
    return np.asarray(np.where(middle, grown, narrow) > 0)


def of_landmarks(points: Points, box: Floats, options: Options) -> Mask:
    """The same from landmarks: the oval of the face without its nose."""
    left, top, right, bottom = around(box, options)
    scale = SQUARE / np.array([right - left, bottom - top])
    placed = ((points - np.array([left, top])) * scale).round().astype(np.int32)
    mask = np.zeros((SQUARE, SQUARE), np.uint8)
    cv2.fillPoly(mask, [placed[list(OVAL)]], 255)
    if options.parsing_mode == JAW:
        mask = np.where(_jaw(mask > 0), 255, 0).astype(np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(placed[list(NOSE)]), 0)
    return mask


def softened(mask: Mask, box: Floats, options: Options) -> Mask:
    """A mask of the square to one of the face, 256 by 256, with soft edges and only below the boundary."""
    whole = around(box, options)
    left, top, right, bottom = ((box - np.tile(whole[:2], 2)) * SQUARE / (whole[2] - whole[0])).round()
    lower = np.zeros_like(mask)
    rows = slice(max(int(top), int(SQUARE * options.upper_boundary)), int(bottom))
    lower[rows, int(left) : int(right)] = mask[rows, int(left) : int(right)]
    width = int(options.blur * SQUARE // 2 * 2) + 1
    blurred = np.asarray(cv2.GaussianBlur(lower, (width, width), 0), np.uint8)
    inner = np.array([left, top, right, bottom])
    face = _sampled(blurred, _map(inner, (SIDE, SIDE)), SIDE, cv2.BORDER_CONSTANT)
    return np.asarray((face * _edges()).round(), np.uint8)


def placed(face: NDArray[np.uint8], box: Floats) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """A painted face, or its mask, at its box's size; and the box of whole pixels that it fills."""
    left, top = (int(side) for side in np.floor(box[:2]))
    right, bottom = (int(side) for side in np.ceil(box[2:]))
    scale = (box[2:] - box[:2]) / SIDE
    offset = (box[:2] - (left, top) + 0.5 * scale - 0.5) / scale
    inverse = np.array([[1 / scale[0], 0, -offset[0]], [0, 1 / scale[1], -offset[1]]])
    size = (right - left, bottom - top)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(face, inverse, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8), (left, top, right, bottom)


def _edges() -> NDArray[np.float32]:
    """1 in the middle of a face, 0 at its sides and at its bottom."""
    place = np.arange(SIDE, dtype=np.float32)
    down = np.minimum(1, (SIDE - 1 - place) / EDGE)
    across = np.minimum(1, np.minimum(place, SIDE - 1 - place) / EDGE)
    return np.asarray(down[:, None] * across[None, :], np.float32)


def _map(box: Floats, size: tuple[int, int]) -> Floats:
    """The affine map (2 x 3) from a picture of this size to the box's place in another."""
    scale = (box[2:] - box[:2]) / np.array(size)
    return np.column_stack([np.diag(scale), box[:2] + 0.5 * scale - 0.5])


def _sampled(picture: NDArray[np.uint8], place: Floats, side: int, border: int) -> NDArray[np.uint8]:
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, place, (side, side), flags=flags, borderMode=border), np.uint8)
