"""Where the customer's sound lies on the timeline: chunks come unevenly, pause, and come in bursts."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sessions.recording.microphone import SLACK_SAMPLES, Strips

CHUNK_MS = 20
CHUNK = 320


def chunk(number: int) -> bytes:
    return np.full(CHUNK, number + 1, "<i2").tobytes()


def fed(arrivals: list[int]) -> list[tuple[int, bytes]]:
    strips = Strips()
    for number, at_ms in enumerate(arrivals):
        strips.feed(chunk(number), at_ms)
    return strips.take()


def test_even_chunks_make_one_strip():
    ((start, sound),) = fed([1000 + CHUNK_MS * n for n in range(50)])

    assert start == (1000 - CHUNK_MS) * 16
    assert len(sound) == 50 * CHUNK * 2


@given(st.lists(st.integers(0, 150), min_size=2, max_size=60))
def test_uneven_arrival_makes_no_gap(delays):
    strips = fed([1000 + CHUNK_MS * n + delay for n, delay in enumerate(delays)])

    assert len(strips) == 1


def test_a_pause_is_kept():
    first, second = fed([*range(1000, 1100, CHUNK_MS), *range(5000, 5100, CHUNK_MS)])

    assert second[0] - first[0] == 4000 * 16


def test_a_burst_after_a_delay_lies_where_it_was_said():
    """The network, or we, stood still for two seconds; nobody was silent."""
    before = list(range(1000, 2000, CHUNK_MS))
    burst = [4000] * 100
    strips = fed([*before, *burst, *range(4020, 5000, CHUNK_MS)])

    for start, _ in strips[1:]:
        assert abs(start - (2000 - CHUNK_MS) * 16) <= SLACK_SAMPLES
    assert sum(len(sound) for _, sound in strips) == (50 + 100 + 49) * CHUNK * 2


def test_a_muted_microphone_leaves_a_gap_where_it_was_muted():
    strips = Strips()
    for number in range(30):
        strips.feed(bytes(2 * CHUNK) if 10 <= number < 15 else chunk(number), 1000 + CHUNK_MS * number)

    first, second = strips.take()
    assert second[0] - first[0] == 15 * CHUNK


def test_strips_go_on_from_one_take_to_the_next():
    strips, ends = Strips(), []
    for number in range(100):
        strips.feed(chunk(number), 1000 + CHUNK_MS * number)
        if number % 7 == 6:
            ends += strips.take()

    for (start, sound), (following, _) in pairwise(ends):
        assert following == start + len(sound) // 2


@given(st.lists(st.integers(0, 20_000), max_size=60).map(sorted))
def test_strips_never_overlap_whatever_comes(arrivals):
    end = 0
    for start, sound in fed(arrivals):
        assert start >= end
        end = start + len(sound) // 2


def test_what_was_said_before_the_timeline_began_is_left_out():
    assert fed([0, 5, 10]) == []
