import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from workers.adapters.avatar.base import AudioWindow, Profile
from workers.adapters.avatar.musetalk import audio
from workers.adapters.avatar.musetalk.audio import Context

PROFILE = Profile(
    id="musetalk", backend="local", queue="", stateless=True, lookback_samples=26240, lookahead_samples=3840
)
CONTEXT = Context.of(PROFILE)


def speech(frames: int, seed: int = 1) -> np.ndarray:
    """A hum and noise that come and go four times a second, as syllables do."""
    rng = np.random.default_rng(seed)
    times = np.arange(frames * 640) / 16_000
    loudness = np.maximum(0, np.sin(2 * np.pi * 4 * times))
    hum = 4000 * np.sin(2 * np.pi * 300 * times) + 800 * rng.standard_normal(len(times))
    return (hum * loudness).astype(np.int16)


def window(pcm: np.ndarray, start: int, frames: int) -> AudioWindow:
    before, after = PROFILE.lookback_samples, PROFILE.lookahead_samples
    padded = np.pad(pcm, (before, after + 640))
    cut = padded[start * 640 : start * 640 + before + frames * 640 + after]
    return AudioWindow(cut, before, after, start, frames)


def reference(pcm: np.ndarray) -> np.ndarray:
    """Whisper's spectrogram written out in 64 bits, shape (80, columns), not padded."""
    columns = (len(pcm) - 400) // 160 + 1
    times = np.arange(400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * times / 400)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(201), times) / 400)
    made = np.empty((80, columns))
    for column in range(columns):
        piece = pcm[160 * column : 160 * column + 400] / 32768 * hann
        power = np.abs(turns @ piece) ** 2
        made[:, column] = np.log10(np.maximum(power @ audio.filters(), 1e-10))
    return (np.maximum(made, audio.LOUDEST - 8) + 4) / 4


def test_the_filters_are_whispers() -> None:
    np.testing.assert_allclose(audio.filters(), WhisperFeatureExtractor().mel_filters, atol=1e-12)


def test_the_spectrogram_is_that_of_a_straightforward_computation() -> None:
    pcm = speech(12)

    np.testing.assert_allclose(audio.mel(pcm), reference(pcm), atol=2e-5)


def test_at_the_level_of_speech_the_spectrogram_is_what_whisper_makes_of_the_whole_recording() -> None:
    pcm = speech(50)
    loudest = float(np.log10(np.max(10 ** (audio.mel(pcm[120:]) * 4 - 4))))
    level = 10 ** ((audio.LOUDEST - loudest) / 2)
    pcm = (pcm * level).clip(-32768, 32767).astype(np.int16)

    whole = WhisperFeatureExtractor()(pcm / 32768, sampling_rate=16_000, return_tensors="np").input_features[
        0
    ]
    inner = whole[:, 2:195]  # those that hear nothing but the recording: the third begins at sample 120

    np.testing.assert_allclose(audio.mel(pcm[120 : 120 + 192 * 160 + 400]), inner, atol=2e-3)


def test_silence_is_the_floor() -> None:
    assert np.all(audio.mel(np.zeros(2000, np.int16)) == np.float32(audio.FLOOR))


def test_a_frame_hears_what_lies_around_it() -> None:
    pcm = speech(60)
    frame = 45
    start = frame * 640 - CONTEXT.before * 160 - 200

    heard = audio.windows(window(pcm, frame, 1), CONTEXT)

    assert heard.shape == (1, 80, CONTEXT.columns)
    whole = reference(pcm[start : start + (CONTEXT.columns - 1) * 160 + 400])
    np.testing.assert_allclose(heard[0], whole, atol=2e-5)


@pytest.mark.parametrize(
    "cuts", [(0, 40), (0, 1, 2, 40), (0, 5, 15, 35, 40), (0, 25, 40), (0, 7, 18, 29, 40)]
)
def test_what_a_frame_hears_does_not_depend_on_how_speech_is_cut(cuts: tuple[int, ...]) -> None:
    pcm = speech(40)
    whole = audio.windows(window(pcm, 0, 40), CONTEXT)

    pieces = [audio.windows(window(pcm, start, stop - start), CONTEXT) for start, stop in pairwise(cuts)]

    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)
    assert np.abs(whole[1:] - whole[:-1]).max() > 0.5  # neighbours do hear different things


def test_the_tokens_of_a_frame_hear_nothing_beyond_the_columns() -> None:
    """Token t hears columns 2 t - 2 to 2 t + 2 through two convolutions of three columns."""
    first = 2 * CONTEXT.first_token - 2
    last = 2 * (CONTEXT.first_token + audio.TOKENS - 1) + 2

    assert first >= 0
    assert last < CONTEXT.columns
    assert 2 * CONTEXT.first_token + 4 * audio.SIDE_FRAMES == CONTEXT.before


def test_more_sound_is_heard_where_the_profile_asks_for_it() -> None:
    more = Context.of(dataclasses.replace(PROFILE, lookback_samples=32_840, lookahead_samples=5000))

    assert (more.before, more.after) == (204, 31)


@pytest.mark.parametrize("sides", [{"lookback_samples": 1000}, {"lookahead_samples": 1000}])
def test_too_little_sound_is_refused(sides: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="lookahead_samples"):
        Context.of(dataclasses.replace(PROFILE, **sides))


def test_a_window_that_is_shorter_than_the_profile_says_is_refused() -> None:
    whole = window(speech(10), 0, 10)

    with pytest.raises(ValueError, match="less sound"):
        audio.windows(dataclasses.replace(whole, pcm=whole.pcm[:-400]), CONTEXT)


def test_musetalks_own_cutting_of_a_whole_utterance() -> None:
    """Two tokens a frame, windows of ten, five layers: 50 vectors of 384."""
    tokens = np.arange(1, 101, dtype=np.float32)[:, None, None] + np.arange(5)[:, None] * 1000
    tokens = np.broadcast_to(tokens, (100, 5, 384))

    frames = audio.frame_windows(tokens)

    assert frames.shape == (50, 50, 384)
    assert frames[10, ::5, 0].tolist() == list(range(17, 27))  # tokens 16 to 25
    assert frames[10, :5, 0].tolist() == [17, 1017, 2017, 3017, 4017]
    assert frames[0, ::5, 0].tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert frames[49, ::5, 0].tolist() == [95, 96, 97, 98, 99, 100, 0, 0, 0, 0]
