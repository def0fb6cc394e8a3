"""Shapes: the face stays in the picture, nothing is scaled, fragments agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.media import numbered_frame
from workers.adapters.avatar.base import Box
from workers.rendering.aspects import ASPECTS
from workers.rendering.canvas import Canvas, cover, layout, plain
from workers.rendering.overlay import planes

EVEN = st.integers(80, 540).map(lambda half: half * 2)


@given(EVEN, EVEN, st.sampled_from(list(ASPECTS)), st.floats(0.25, 0.75), st.floats(0.25, 0.75))
def test_films_have_their_shape_and_hold_the_face(width, height, aspect, x, y):
    face = Box(x - 0.15, y - 0.15, x + 0.15, y + 0.15)
    plan = layout(width, height, aspect, face=face, short_side=4000)
    across, down = ASPECTS[aspect]
    left, top, wide, high = plan.source

    assert abs(plan.width * down - plan.height * across) <= 2 * max(across, down)
    assert not any(value % 2 for value in (plan.width, plan.height, plan.x, plan.y, *plan.source))
    assert plan.x >= 0 <= plan.y
    assert plan.x + wide <= plan.width
    assert plan.y + high <= plan.height
    assert left <= face.left * width + 1
    assert left + wide >= face.right * width - 1
    assert top <= face.top * height + 1
    assert top + high >= face.bottom * height - 1


def test_without_a_wish_the_film_is_the_avatar():
    assert layout(512, 640, None).source == (0, 0, 512, 640)
    assert layout(512, 640, "4:5").cut


def test_an_unknown_shape_and_a_film_too_large_are_refused():
    with pytest.raises(ValueError, match="21:9"):
        layout(512, 640, "21:9")
    with pytest.raises(ValueError, match="larger"):
        layout(1000, 1200, "16:9", short_side=1080)


def test_the_avatar_is_copied_pixel_by_pixel():
    picture = numbered_frame(613, 256, 320)
    plan = layout(256, 320, "16:9")
    film = Canvas(plan, background=plain("#336699", 8, 8)).place(picture)
    for part, whole, half in zip(
        planes(film, plan.width, plan.height), planes(picture, 256, 320), (1, 2, 2), strict=True
    ):
        x, y = plan.x // half, plan.y // half
        assert np.array_equal(part[y : y + whole.shape[0], x : x + whole.shape[1]], whole)
    assert len(np.unique(planes(film, plan.width, plan.height)[0][:, : plan.x])) == 1


def test_fragments_that_share_the_portrait_share_the_background():
    plan = layout(256, 320, "16:9")
    portrait = np.dstack([np.tile(np.linspace(0, 255, 320)[:, None], (1, 256))] * 3).astype(np.uint8)
    first, second = (
        Canvas(plan, still=portrait).place(numbered_frame(number, 256, 320)).copy() for number in (1, 700)
    )
    beside = slice(0, plan.x)

    assert np.array_equal(first[: plan.height, beside], second[: plan.height, beside])
    assert first[: plan.height, beside].std() > 1


def test_an_avatar_with_transparency_stands_on_the_same_background():
    plan = layout(256, 320, "16:9")
    background = np.dstack([np.tile(np.linspace(0, 255, plan.width), (plan.height, 1))] * 3).astype(np.uint8)
    behind = Canvas(plan, background=background).behind(256, 320)

    assert behind is not None
    assert np.array_equal(behind.image, background[:, plan.x : plan.x + 256])
    assert Canvas(plan).behind(256, 320) is None


@pytest.mark.parametrize("size", [(10, 500), (500, 10), (64, 64), (3000, 2000)])
def test_a_background_covers_the_film(size):
    picture = np.full((size[1], size[0], 3), 77, np.uint8)

    assert (cover(picture, 320, 180) == 77).all()
    assert cover(picture, 320, 180).shape == (180, 320, 3)


@pytest.mark.parametrize("colour", ["", "#12345", "336699", "#33669g", "red", "#3366999"])
def test_what_is_no_colour_is_refused(colour):
    with pytest.raises(ValueError):  # noqa: PT011 - two kinds of mistakes
        plain(colour, 4, 4)
