import math
from itertools import pairwise

import numpy as np
import pytest

from workers.adapters.avatar.base import AudioWindow
from workers.adapters.avatar.wav2lip import mel

RATE, TAIL = 16_000, 16 * 200


def speech(seconds: float) -> np.ndarray:
    """A voice-like sound: a gliding tone with overtones, over noise, coming and going."""
    rng = np.random.default_rng(3)
    at = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 60 * np.sin(2 * np.pi * 0.7 * at)) / RATE
    tone = sum(np.sin(number * phase) / number for number in range(1, 20))
    loud = 0.5 + 0.5 * np.sin(2 * np.pi * 2.3 * at)
    return np.clip(3000 * loud * tone + rng.normal(0, 60, len(at)), -32768, 32767).astype(np.int16)


def reference(pcm: np.ndarray) -> np.ndarray:
    """The whole recipe in float64, step by step: shape (80, 1 + samples // 200)."""
    x = np.concatenate([pcm.astype(np.float64) / 32768, np.zeros(TAIL)])
    emphasised = x.copy()
    for n in range(1, len(x)):
        emphasised[n] = x[n] - 0.97 * x[n - 1]
    padded = np.concatenate([np.zeros(400), emphasised, np.zeros(400)])
    n = np.arange(800)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / 800)
    angles = 2 * np.pi * np.outer(np.arange(401), n) / 800
    cosine, sine = np.cos(angles), np.sin(angles)
    columns = []
    for column in range(1 + len(pcm) // 200):
        piece = padded[column * 200 : column * 200 + 800] * hann
        columns.append(np.hypot(cosine @ piece, sine @ piece))
    heard = triangles() @ np.array(columns).T
    level = 20 * np.log10(np.maximum(1e-5, heard)) - 20
    return np.clip(8 * (level + 100) / 100 - 4, -4, 4)


def triangles() -> np.ndarray:
    """Slaney's filterbank: 80 triangles between points evenly spread on his scale, each of unit area."""

    def to_mel(hertz: float) -> float:
        return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)

    def to_hertz(value: float) -> float:
        return value * 200 / 3 if value < 15 else 1000 * 6.4 ** ((value - 15) / 27)

    low, high = to_mel(55), to_mel(7600)
    points = [to_hertz(low + (high - low) * place / 81) for place in range(82)]
    filters = np.zeros((80, 401))
    for band in range(80):
        left, middle, right = points[band : band + 3]
        for number in range(401):
            hertz = number * 20
            rising, falling = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
            filters[band, number] = max(0.0, min(rising, falling)) * 2 / (right - left)
    return filters


def window(pcm: np.ndarray, start: int, frames: int, lookback: int, lookahead: int) -> AudioWindow:
    """As workers are given it: zeros outside of the sound."""
    around = np.concatenate([np.zeros(RATE, np.int16), pcm, np.zeros(2 * RATE, np.int16)])
    begin = RATE + start * 640 - lookback
    return AudioWindow(
        around[begin : begin + lookback + frames * 640 + lookahead], lookback, lookahead, start, frames
    )


def test_the_spectrogram_is_the_float64_references() -> None:
    pcm = speech(1.3)
    found = mel.spectrogram(pcm, 0, mel.column_count(len(pcm)))
    wanted = reference(pcm)
    assert found.shape == wanted.shape == (80, 105)
    assert np.abs(found - wanted).max() < 1e-5
    assert wanted.max() > 0
    assert wanted.std() > 0.5


def test_the_filters_are_slaneys_as_others_make_them() -> None:
    audio = pytest.importorskip("transformers.audio_utils")
    wanted = audio.mel_filter_bank(401, 80, 55.0, 7600.0, RATE, norm="slaney", mel_scale="slaney").T
    impulse = np.zeros(1600, np.int16)
    impulse[800] = 16384  # its spectrum is flat but for the pre-emphasis
    found = mel.spectrogram(impulse, 4, 1)[:, 0]
    emphasis = np.abs(1 - 0.97 * np.exp(-2j * np.pi * np.arange(401) / 800))
    level = 20 * np.log10(wanted @ (0.5 * emphasis)) - 20
    assert np.allclose(found, 8 * (level + 100) / 100 - 4, atol=2e-3)


def test_silence_is_the_lowest_level() -> None:
    assert (mel.spectrogram(np.zeros(3200, np.int16), 0, 17) == -4).all()


def test_columns_before_and_behind_the_sound_hear_silence() -> None:
    columns = mel.spectrogram(speech(0.5), -10, 80)
    assert (columns[:, :9] == -4).all()
    assert (columns[:, -20:] == -4).all()
    assert (columns[:, 9] > -4).any()  # its window reaches into the sound


@pytest.mark.parametrize(("samples", "columns", "complete"), [(17_920, 90, 24), (160_000, 801, 246)])
def test_known_counts_of_columns_and_frames(samples: int, columns: int, complete: int) -> None:
    assert mel.column_count(samples) == columns
    assert mel.complete_windows(columns) == complete


def test_every_frame_of_ten_seconds_is_drawn() -> None:
    assert mel.complete_windows(801 + 16) == 251  # one more than there are, with 0.2 s of silence behind
    assert mel.frame_count(160_000) == 250
    assert mel.frame_count(160_001) == 251
    pcm = speech(10)
    heard = mel.windows(window(pcm, 0, 250, 0, TAIL))
    assert heard.shape == (250, 80, 16)
    assert heard[249].max() > -4


@pytest.mark.parametrize("fps", [25, 30])
def test_complete_windows_agrees_with_counting(fps: int) -> None:
    for columns in range(120):
        counted = sum(mel.first_column(frame, fps) + 16 <= columns for frame in range(200))
        assert mel.complete_windows(columns, fps) == counted


def test_a_frame_hears_sixteen_columns_from_its_own_place_on() -> None:
    pcm = speech(1.5)
    columns = mel.spectrogram(pcm, 0, 120)
    heard = mel.windows(window(pcm, 0, 30, 640, 3200))
    for frame in range(30):
        begin = int(frame * 80 / 25)
        assert np.allclose(heard[frame], columns[:, begin : begin + 16], atol=1e-6)


@pytest.mark.parametrize("cuts", [[0, 7, 12, 25, 40], [0, 1, 2, 3, 40], [0, 33, 40]])
def test_parts_heard_apart_are_heard_alike(cuts: list[int]) -> None:
    pcm = speech(1.55)  # ends inside of a frame
    whole = mel.windows(window(pcm, 0, 40, 0, 8000))
    parts = [mel.windows(window(pcm, begin, end - begin, 3200, 3200)) for begin, end in pairwise(cuts)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_less_sound_than_the_profile_gives_would_be_noticed() -> None:
    pcm = speech(1.5)
    whole = mel.windows(window(pcm, 0, 20, 0, 8000))
    assert not np.array_equal(mel.windows(window(pcm, 5, 3, 3200, 2000)), whole[5:8])
    assert not np.array_equal(mel.windows(window(pcm, 5, 3, 0, 3200)), whole[5:8])
