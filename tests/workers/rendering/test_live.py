"""Pictures within level 3.1, and idle loops in two renditions that join each other and speech."""

import numpy as np
import pytest

from tests.support.media import numbered_frame
from workers.rendering.demux import read_fragment
from workers.rendering.encode import LIVE_CRF, LIVE_PRESET, encode_fragment, level
from workers.rendering.live import Shrink, encode_idle_loops, live_size, stage


@pytest.mark.parametrize("size", [(512, 640), (768, 960), (1280, 720), (720, 1280), (16, 16)])
def test_what_fits_level_3_1_keeps_its_size(size: tuple[int, int]) -> None:
    assert live_size(*size) == size
    assert stage(*size) is None


@pytest.mark.parametrize("size", [(864, 1080), (1080, 1080), (1920, 1080), (608, 1600), (4096, 2160)])
def test_what_is_larger_is_scaled_as_little_as_possible(size: tuple[int, int]) -> None:
    width, height = live_size(*size)
    assert width % 2 == height % 2 == 0
    assert level(width, height) == "3.1"
    assert width / height == pytest.approx(size[0] / size[1], rel=0.01)
    assert width * height > 0.93 * 3600 * 256


def test_a_smaller_picture_shows_the_same() -> None:
    rows, columns = np.mgrid[0:1080, 0:864]
    picture = np.full((1620, 864), 128, np.uint8)
    picture[:1080] = (rows / 8 + columns / 8).astype(np.uint8)
    small = Shrink(864, 1080)
    placed = small.place(picture)
    assert placed.shape == (small.height * 3 // 2, small.width)
    for down, across in ((0.1, 0.1), (0.5, 0.5), (0.9, 0.2)):
        seen = placed[int(small.height * down), int(small.width * across)]
        assert abs(int(seen) - int(picture[int(1080 * down), int(864 * across)])) <= 2


def test_both_loops_and_speech_have_the_same_parameter_sets() -> None:
    pictures = [numbered_frame(number) for number in range(10)]
    height, width = pictures[0].shape[0] * 2 // 3, pictures[0].shape[1]
    normal, low = encode_idle_loops(iter(pictures), width=width, height=height)
    clip = encode_fragment(pictures, width=width, height=height)
    live = encode_fragment(pictures, width=width, height=height, crf=LIVE_CRF, preset=LIVE_PRESET)
    entries = {read_fragment(one.data).entry for one in (normal, low, clip, live)}
    assert len(entries) == 1
    assert len(low.data) < len(normal.data)
    for loop in (normal, low):
        assert [sample.sync for sample in read_fragment(loop.data).samples] == [True, *[False] * 4] * 2
