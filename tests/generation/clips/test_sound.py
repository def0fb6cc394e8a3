import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.clips import sound
from generation.clips.sound import Pcm, Piece, decimate, window
from workers.adapters.avatar.base import SAMPLES_PER_FRAME, Profile

PROFILE = Profile(
    id="x", backend="local", queue="batch.x", stateless=True, lookback_samples=1600, lookahead_samples=960
)
NOISE = np.random.default_rng(7).integers(-20_000, 20_000, 200_000).astype(np.int16)
PIECES = [Piece(0, 60_000, "a"), Piece(60_000, 90_001, "b"), Piece(170_001, 29_000, "c")]


def load(key: str) -> Pcm:
    piece = next(p for p in PIECES if p.key == key)
    return NOISE[piece.start : piece.end]


def whole() -> Pcm:
    pcm = np.zeros(260_000, np.int16)
    for piece in PIECES:
        pcm[piece.start : piece.end] = load(piece.key)
    return pcm


@given(st.integers(0, 100), st.integers(1, 30))
def test_neighbouring_fragments_hear_identical_samples(start: int, frames: int) -> None:
    alone = window(PROFILE, start, frames, PIECES, load)
    long = window(PROFILE, 0, 140, PIECES, load)
    at = start * SAMPLES_PER_FRAME
    assert np.array_equal(alone.pcm, long.pcm[at : at + len(alone.pcm)])


def test_the_window_has_the_length_that_the_renderer_expects() -> None:
    made = window(PROFILE, 3, 25, PIECES, load)
    assert len(made.pcm) == PROFILE.lookback_samples + 25 * SAMPLES_PER_FRAME + PROFILE.lookahead_samples
    assert (made.start_frame, made.frames) == (3, 25)


def test_it_is_silent_before_the_first_sample_and_after_the_last() -> None:
    assert not window(PROFILE, 0, 1, [], load).pcm.any()
    before = window(PROFILE, 0, 5, PIECES, load).pcm[: PROFILE.lookback_samples - sound.TAPS]
    assert not before.any()


@pytest.mark.parametrize("hertz", [100, 1000, 5000])
def test_speech_keeps_its_level_and_its_place(hertz: int) -> None:
    time = np.arange(48_000) / 48_000
    tone = (np.sin(2 * np.pi * hertz * time) * 10_000).astype(np.int16)
    heard = decimate(tone)
    # Output sample n is centred on input sample 3 n + 48.
    expected = tone[sound.TAPS // 2 :][::3][: len(heard)]
    assert np.abs(heard.astype(int) - expected).max() < 120


@pytest.mark.parametrize("hertz", [10_000, 15_000, 20_000])
def test_what_16_khz_cannot_hold_is_gone(hertz: int) -> None:
    time = np.arange(48_000) / 48_000
    tone = (np.sin(2 * np.pi * hertz * time) * 20_000).astype(np.int16)
    assert np.abs(decimate(tone).astype(int)).max() < 60


def test_phones_are_timed_from_the_first_frame() -> None:
    spoken = [Piece(48_000, 48_000, "a", (("p", 0, 80), ("a", 80, 300)))]
    made = window(PROFILE, 24, 10, spoken, lambda _key: np.zeros(48_000, np.int16))
    assert [(p.symbol, p.start_ms, p.end_ms) for p in made.phones] == [("p", 40, 120), ("a", 120, 340)]
