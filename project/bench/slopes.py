"""Whether something grows: the slope of a line through many points that a few wild ones do not turn."""

import itertools
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MOST_PAIRS = 20_000
Points = Sequence[tuple[float, float]]  # seconds, value


@dataclass(frozen=True, slots=True)
class Growth:
    """By how much a figure grew in an hour, in its own unit. `noise` is its usual distance from the line."""

    per_hour: float
    noise: float
    points: int
    seconds: float

    def within(self, bound: float) -> bool:
        """Whether it grows by no more than `bound` in an hour.

        What the noise alone may look like over so short a time does not count as growth: a slope is
        believed as far as it moved the line by more than that.
        """
        moved = self.per_hour * self.seconds / 3600
        return self.per_hour <= bound or moved <= self.noise


def growth(points: Points, *, settle: float = 0.25) -> Growth | None:
    """The growth behind the first `settle` of the time; None with fewer than four points there.

    The median of the slopes between pairs of points (Theil and Sen).
    """
    if not points:
        return None
    begin, end = points[0][0], points[-1][0]
    kept = [point for point in points if point[0] >= begin + settle * (end - begin)]
    if len(kept) < 4:
        return None
    pairs = _pairs(kept)
    slope = statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs if b[0] > a[0])
    level = statistics.median(value - slope * at for at, value in kept)
    noise = statistics.median(abs(value - level - slope * at) for at, value in kept)
    return Growth(3600 * slope, noise, len(kept), kept[-1][0] - kept[0][0])


def _pairs(kept: Points) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Every pair of points, the sooner one first; of a long time so many that are drawn."""
    if math.comb(len(kept), 2) <= MOST_PAIRS:
        return list(itertools.combinations(kept, 2))
    draw = random.Random(1)
    places = (sorted(draw.sample(range(len(kept)), 2)) for _ in range(MOST_PAIRS))
    return [(kept[sooner], kept[later]) for sooner, later in places]
