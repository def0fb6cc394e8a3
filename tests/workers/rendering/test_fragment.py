"""From poses to bytes: numbers of frames, captions that leave no trace, and stopping at once."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.support.media import HEIGHT, WIDTH, decoded_numbers, numbered_frame, silent_video
from workers.adapters.avatar.base import AudioWindow
from workers.rendering.boxes import MalformedMedia
from workers.rendering.canvas import Canvas, layout
from workers.rendering.captions import CaptionOverlay, Cue
from workers.rendering.encode import encode_fragment
from workers.rendering.fragment import render_fragment
from workers.rendering.poster import poster, thumbnail


class Counting:
    """A renderer that draws its frame number into one buffer, redrawing only the top of it."""

    def __init__(self) -> None:
        self.drawn: list[int] = []
        self.buffer = numbered_frame(0)

    def extract_features(self, stream, window):
        return range(window.start_frame, window.start_frame + window.frames)

    def infer(self, stream, features):
        return list(features)

    def compose_frame(self, stream, pose):
        self.drawn.append(pose)
        self.buffer[: HEIGHT // 5] = numbered_frame(pose)[: HEIGHT // 5]
        return self.buffer


def window(start: int, frames: int) -> AudioWindow:
    return AudioWindow(np.zeros(frames * 640, np.int16), 0, 0, start, frames)


def render(renderer, start=40, frames=12, **options):
    return render_fragment(renderer, None, window(start, frames), width=WIDTH, height=HEIGHT, **options)


def test_it_renders_the_frames_of_the_window():
    made = render(Counting())

    assert made.frames == 12
    assert decoded_numbers(made.data) == list(range(40, 52))


def test_it_stops_before_the_next_frame():
    renderer = Counting()

    def check() -> None:
        if len(renderer.drawn) == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        render(renderer, check=check)
    assert renderer.drawn == [40, 41, 42, 43, 44]


def test_a_caption_does_not_stay_in_the_renderers_buffer():
    renderer = Counting()
    before = renderer.buffer[HEIGHT // 5 :].copy()
    overlay = CaptionOverlay([Cue(1600, 1800, ("Hello",))], WIDTH, HEIGHT)
    captioned, plain = render(renderer, overlay=overlay), render(Counting())

    assert np.array_equal(renderer.buffer[HEIGHT // 5 :], before)
    assert captioned.data != plain.data


def test_it_takes_the_shape_of_its_canvas():
    plan = layout(WIDTH, HEIGHT, "16:9")
    made = render(Counting(), canvas=Canvas(plan))
    with Image.open(io.BytesIO(poster(made.data))) as image:
        assert image.size == (plan.width, plan.height)


def test_a_poster_shows_the_frame_asked_for_or_the_last():
    data = encode_fragment([numbered_frame(number) for number in (0, 1023)], width=WIDTH, height=HEIGHT).data

    def brightness(frame: int) -> float:
        with Image.open(io.BytesIO(poster(data, frame=frame))) as image:
            assert (image.format, image.size) == ("JPEG", (WIDTH, HEIGHT))
            return float(np.asarray(image.convert("L"))[: HEIGHT // 6].mean())

    assert brightness(0) < 30
    assert brightness(1) > 220
    assert brightness(99) == brightness(1)


def test_a_thumbnail_is_small_and_never_enlarged():
    with Image.open(io.BytesIO(thumbnail(silent_video(), max_side=80))) as image:
        assert image.size == (64, 80)
    with Image.open(io.BytesIO(thumbnail(silent_video(), max_side=800))) as image:
        assert image.size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("data", [b"", b"junk", bytes(400)])
def test_what_does_not_decode_has_no_poster(data):
    with pytest.raises(MalformedMedia):
        poster(data)
