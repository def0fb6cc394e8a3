"""From what S3FD says about every place of a picture to the boxes of the faces in it."""

import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import Picture
from workers.adapters.avatar.runtime import Network

Single = NDArray[np.float32]
HEADS = (
    ("conv3_3_norm", 256),
    ("conv4_3_norm", 512),
    ("conv5_3_norm", 512),
    ("fc7", 1024),
    ("conv6_2", 512),
    ("conv7_2", 256),
)
"""From the smallest faces to the largest, and the channels each head sees."""
FIRST_STRIDE = 4
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
CANDIDATE, SURE, OVERLAP = 0.05, 0.5, 0.3


def grids(width: int, height: int) -> list[tuple[int, int]]:
    """Rows and columns of the heads' places for a picture of this size."""
    sizes, side = [], (height, width)
    for block in range(5):
        if block >= 2:
            sizes.append(side)
        side = side[0] // 2, side[1] // 2
    side = side[0] + 4, side[1] + 4  # the wide margin of fc6
    sizes.append(side)
    for _ in range(2):
        side = (side[0] + 1) // 2, (side[1] + 1) // 2
        sizes.append(side)
    return sizes


def boxes(row: Single, width: int, height: int) -> Single:
    """Faces in one picture, shape (n, 5): left, top, right, bottom, likelihood; the most likely first."""
    sizes = grids(width, height)
    wanted = 5 * sum(rows * columns for rows, columns in sizes)
    if len(row) != wanted:
        raise ValueError(f"{len(row)} numbers for a picture of {width} x {height}, not {wanted}")
    found, begin = [], 0
    for level, (rows, columns) in enumerate(sizes):
        size = rows * columns
        head = row[begin : begin + 5 * size].reshape(5, rows, columns)
        begin += 5 * size
        found.append(_decoded(head, FIRST_STRIDE << level))
    kept = suppressed(np.concatenate(found))
    return kept[kept[:, 4] > SURE]


def best(network: Network, picture: Picture) -> tuple[float, float, float, float] | None:
    """The box of the most likely face of a BGR picture, in pixels; None where there is none."""
    height, width = picture.shape[:2]
    found = boxes(network.run(picture[None])[0], width, height)
    if not len(found):
        return None
    # Whole pixels, as the boxes were when the networks learned from them.
    left, top, right, bottom = (float(int(side)) for side in np.maximum(found[0, :4], 0))
    return left, top, min(right, float(width)), min(bottom, float(height))


def suppressed(found: Single) -> Single:
    """Of boxes that overlap, the most likely alone. Their last pixels count as inside."""
    left = found[np.argsort(-found[:, 4], kind="stable")]
    kept = []
    while len(left):
        kept.append(left[0])
        left = left[1:][_overlaps(left[0], left[1:]) <= OVERLAP]
    return np.array(kept, np.float32).reshape(-1, 5)


def _decoded(head: Single, stride: int) -> Single:
    """The candidates of one head (5, rows, columns): likelihood, and the four numbers of a box."""
    rows, columns = np.nonzero(head[0] > CANDIDATE)
    chance, dx, dy, wide, high = head[:, rows, columns]
    size = 4 * stride
    x = stride / 2 + columns * stride + dx * CENTRE_VARIANCE * size
    y = stride / 2 + rows * stride + dy * CENTRE_VARIANCE * size
    width, height = (size * np.exp(side * SIZE_VARIANCE) for side in (wide, high))
    left, top = x - width / 2, y - height / 2
    return np.stack([left, top, left + width, top + height, chance], axis=1).astype(np.float32)


def _overlaps(box: Single, others: Single) -> Single:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:4], others[:, 2:4])
    both = np.maximum(0, high - low + 1).prod(axis=1)
    areas = (others[:, 2:4] - others[:, :2] + 1).prod(axis=1)
    return np.asarray(both / ((box[2:4] - box[:2] + 1).prod() + areas - both), np.float32)
