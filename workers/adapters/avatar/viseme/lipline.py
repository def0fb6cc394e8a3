"""Finds the line where closed lips meet.

Landmarks of the inner lips are off by a pixel or two, and cutting there leaves a grey slit in
the open mouth. The dark ridge between the lips is the true line: the cheapest path along it.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates

from workers.adapters.avatar.base import Picture
from workers.adapters.avatar.viseme.geometry import SAMPLES, Mouth

Floats = NDArray[np.float64]
TOOTHY_GAP = 0.03  # of face height: above it the lips are apart in the picture
REACH = 0.035  # how far from the landmarks' line the ridge is looked for
STEPS = 41
BEND = 0.35  # what a step sideways costs, in grey levels relative to the picture's own contrast
CORNER_HOLD = 0.9


def unrolled(picture: Picture, mouth: Mouth, line: Floats, reach: float) -> Floats:
    """Brightness around a curve: shape (STEPS, len(SAMPLES)), rows from -reach to reach pixels."""
    grey = cv2.cvtColor(picture[:, :, :3], cv2.COLOR_BGR2GRAY).astype(np.float64)
    u = np.broadcast_to(mouth.u_of(SAMPLES), (STEPS, len(SAMPLES)))
    v = line[None] + np.linspace(-reach, reach, STEPS)[:, None]
    x, y = mouth.to_picture(u, v)
    return np.asarray(map_coordinates(grey, [y, x], order=1, mode="nearest"))


def gap_of(mouth: Mouth) -> float:
    """The largest distance between the inner lips, as a share of face height."""
    return float((mouth.lower - mouth.upper).max()) / mouth.face


def snap(picture: Picture, mouth: Mouth, *, reach: float = REACH) -> None:
    """Put both inner lip lines of a closed mouth onto the dark ridge between the lips."""
    line = (mouth.upper + mouth.lower) / 2
    around = unrolled(picture, mouth, line, reach * mouth.face)
    cost = (around - around.min()) / max(1.0, float(np.ptp(around)))
    offsets = np.linspace(-1, 1, STEPS)
    cost = cost + 0.25 * offsets[:, None] ** 2  # far from the landmarks only for good reason
    cost[:, np.abs(SAMPLES) > CORNER_HOLD] *= 0.4  # corners are faint: let the path run on
    path = _cheapest_path(cost)
    found = line + gaussian_filter1d(offsets[path] * reach * mouth.face, 3.0, mode="nearest")
    mouth.upper, mouth.lower = found, found.copy()


def _cheapest_path(cost: Floats) -> NDArray[np.int64]:
    """One row per column, moving at most one row a column. Dynamic programming."""
    rows, columns = cost.shape
    total = cost.copy()
    came = np.zeros(cost.shape, np.int64)
    for column in range(1, columns):
        before = np.pad(total[:, column - 1], 1, constant_values=np.inf)
        options = np.stack([before[:-2] + BEND * 0.1, before[1:-1], before[2:] + BEND * 0.1])
        choice = options.argmin(axis=0)
        total[:, column] += options[choice, np.arange(rows)]
        came[:, column] = np.arange(rows) + choice - 1
    path = np.zeros(columns, np.int64)
    path[-1] = int(total[:, -1].argmin())
    for column in range(columns - 1, 0, -1):
        path[column - 1] = came[path[column], column]
    return path
