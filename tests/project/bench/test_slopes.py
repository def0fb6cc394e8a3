"""Growth is told from noise, and a few wild points turn nothing."""

import random

import pytest

from project.bench.slopes import growth


def points(
    per_hour: float, noise: float, seconds: int = 1800, level: float = 300.0
) -> list[tuple[float, float]]:
    dice = random.Random(7)
    return [
        (float(at), level + per_hour * at / 3600 + dice.uniform(-noise, noise))
        for at in range(0, seconds, 10)
    ]


def test_the_slope_is_that_of_the_line_behind_the_noise() -> None:
    found = growth(points(120.0, 3.0))
    assert found is not None
    assert found.per_hour == pytest.approx(120, abs=6)
    assert not found.within(60)
    assert found.within(200)


def test_what_stands_still_with_noise_does_not_grow() -> None:
    found = growth(points(0.0, 10.0))
    assert found is not None
    assert found.within(0.0)


def test_a_leap_at_the_beginning_and_wild_points_do_not_count() -> None:
    told = [(at, value - (200 if at < 200 else 0)) for at, value in points(0.0, 1.0)]
    told[100] = (told[100][0], 9000.0)
    found = growth(told)
    assert found is not None
    assert found.within(5.0)


def test_too_little_says_nothing() -> None:
    assert growth([]) is None
    assert growth([(0.0, 1.0), (10.0, 2.0), (20.0, 3.0)]) is None


def test_a_day_is_judged_by_pairs_that_are_drawn() -> None:
    found = growth(points(12.0, 3.0, seconds=86_400))
    assert found is not None
    assert found.per_hour == pytest.approx(12, abs=0.5)
