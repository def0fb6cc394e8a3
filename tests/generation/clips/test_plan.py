import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.clips.plan import SAMPLES_PER_FRAME, Span, spans, whole_frames
from workers.adapters.avatar.base import Profile

PROFILE = Profile(
    id="x", backend="local", queue="batch.x", stateless=True, lookahead_samples=2560, fragment_frames=75
)


def grown(lengths: list[int]) -> list[Span]:
    """Plan as a clip does: after every utterance, and once more at the end."""
    planned: list[Span] = []
    total = 0
    for length in lengths:
        total += length
        planned += spans(PROFILE, len(planned), total, complete=False)
    return planned + list(spans(PROFILE, len(planned), total, complete=True))


@given(st.lists(st.integers(1, 600_000), min_size=1, max_size=12))
def test_fragments_tile_the_timeline_without_gap_or_overlap(lengths: list[int]) -> None:
    planned = grown(lengths)
    assert [span.index for span in planned] == list(range(len(planned)))
    assert planned[0].start == 0
    assert all(a.end == b.start for a, b in itertools.pairwise(planned))
    assert planned[-1].end == whole_frames(sum(lengths))


@given(st.lists(st.integers(1, 600_000), min_size=1, max_size=12))
def test_the_plan_does_not_depend_on_how_the_sound_arrived(lengths: list[int]) -> None:
    assert grown(lengths) == grown([sum(lengths)])


def test_a_fragment_waits_for_the_sound_that_its_last_frame_looks_ahead_to() -> None:
    first = 25 * SAMPLES_PER_FRAME
    ahead = PROFILE.lookahead_samples * 3
    assert list(spans(PROFILE, 0, first + ahead - 1, complete=False)) == []
    assert list(spans(PROFILE, 0, first + ahead, complete=False)) == [Span(0, 0, 25)]


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (1920, 1), (1921, 2), (0, 0)])
def test_the_last_frame_is_filled_up(samples: int, frames: int) -> None:
    assert whole_frames(samples) == frames
