"""From 48 kHz to 16 kHz while the sound still arrives."""

import numpy as np
import pytest

from generation.clips import sound
from workers.speech.decimate import MARGIN, Decimator


def _noise(samples: int) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 6000, samples).astype(np.int16)


def _streamed(pcm: np.ndarray, size: int) -> np.ndarray:
    decimator = Decimator()
    pieces = [decimator.feed(pcm[at : at + size].tobytes()) for at in range(0, len(pcm), size)]
    return np.frombuffer(b"".join([*pieces, decimator.flush()]), np.int16)


@pytest.mark.parametrize("size", [1, 2, 7, 100, 1920, 50_000])
def test_it_does_not_matter_how_the_sound_is_cut(size):
    pcm = _noise(1_500 if size == 1 else 30_000)
    np.testing.assert_array_equal(_streamed(pcm, size), _streamed(pcm, len(pcm)))


def test_a_renderer_hears_live_what_it_hears_in_a_clip():
    pcm = _noise(48_000)
    padded = np.concatenate((np.zeros(MARGIN, np.int16), pcm, np.zeros(MARGIN, np.int16)))
    expected = sound.decimate(padded)
    assert np.abs(_streamed(pcm, 1920)[: len(expected)].astype(int) - expected).max() <= 2


def test_a_sample_lies_where_it_lay():
    pcm = np.zeros(9_600, np.int16)
    pcm[4_800] = 30_000
    assert int(np.argmax(_streamed(pcm, 1000))) == 1_600


def test_all_but_a_millisecond_is_given_at_once():
    decimator = Decimator()
    assert len(decimator.feed(bytes(2 * 1920))) // 2 >= 640 - 17
