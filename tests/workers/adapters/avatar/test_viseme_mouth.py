# ruff: noqa: RUF001 - phonetic letters look like others on purpose
import numpy as np
import pytest

from tests.support.models import config
from workers.adapters.avatar.base import SAMPLES_PER_FRAME, AudioWindow, Phone
from workers.adapters.avatar.viseme.mouth import Track, hear
from workers.adapters.avatar.viseme.phones import cues_of, lips_of

BACK, AHEAD = 16_000, 2560


def voice(seconds: float, hertz: float = 140.0, level: float = 0.12) -> np.ndarray:
    """A buzz with the formants of an open vowel, at the RMS of levelled speech."""
    at = np.arange(round(seconds * 16_000)) / 16_000
    weights = {n: 1 / (1 + ((n * hertz - 700) / 300) ** 2) + 0.02 for n in range(1, 24)}
    wave = sum(weight * np.sin(2 * np.pi * hertz * n * at + n * n) for n, weight in weights.items())
    return (wave / np.sqrt((wave**2).mean()) * level * 32767).clip(-32767, 32767).astype(np.int16)


def window(
    pcm: np.ndarray, start: int = 0, frames: int | None = None, phones: tuple[Phone, ...] = ()
) -> AudioWindow:
    total = len(pcm) // SAMPLES_PER_FRAME
    frames = total - start if frames is None else frames
    padded = np.pad(pcm, (BACK, AHEAD))[start * SAMPLES_PER_FRAME :]
    cut = padded[: BACK + frames * SAMPLES_PER_FRAME + AHEAD]
    return AudioWindow(cut, BACK, AHEAD, start, frames, phones)


def spoken(*parts: tuple[str, float]) -> np.ndarray:
    sounds = {"voice": voice, "silence": lambda seconds: np.zeros(round(seconds * 16_000), np.int16)}
    return np.concatenate([sounds[kind](seconds) for kind, seconds in parts])


def test_the_profile_gives_all_the_sound_that_is_looked_at() -> None:
    profile = config("viseme").profile
    assert (profile.lookback_samples, profile.lookahead_samples) == (BACK, AHEAD)
    assert profile.lookahead_samples <= 3200
    assert profile.stateless


def test_silence_keeps_the_mouth_shut() -> None:
    track = hear(window(np.zeros(16_000, np.int16)))
    assert not track.opening.any()
    assert not track.width.any()


def test_faint_noise_keeps_the_mouth_shut() -> None:
    noise = np.random.default_rng(1).normal(0, 60, 32_000).astype(np.int16)
    assert not hear(window(noise)).opening.any()


def test_the_mouth_opens_with_the_voice_and_shuts_after_it() -> None:
    track = hear(window(spoken(("silence", 1), ("voice", 1), ("silence", 1))))
    assert track.opening[30:48].min() > 0.5
    assert not track.opening[:22].any()
    assert not track.opening[60:].any()


def test_louder_speech_opens_wider() -> None:
    soft, loud = (hear(window(voice(1, level=level))).opening[10:20].mean() for level in (0.02, 0.12))
    assert loud > soft + 0.2


@pytest.mark.parametrize("cut", [1, 13, 25, 40])
def test_a_frame_is_the_same_in_whichever_fragment_it_is_drawn(cut: int) -> None:
    pcm = spoken(("voice", 0.7), ("silence", 0.5), ("voice", 0.8))
    phones = (Phone("m", 0, 90), Phone("a", 90, 500), Phone("u", 1300, 1700))
    whole = hear(window(pcm, phones=phones))
    moved = tuple(Phone(p.symbol, p.start_ms - cut * 40, p.end_ms - cut * 40) for p in phones)
    parts = hear(window(pcm, 0, cut, phones)), hear(window(pcm, cut, None, moved))
    for name in ("opening", "width"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.allclose(joined, getattr(whole, name), atol=1e-12)


def test_a_short_window_at_the_start_of_a_stream_is_padded() -> None:
    pcm = voice(0.4)
    live = AudioWindow(pcm, 0, 0, 0, 10)
    assert hear(live).opening.shape == (10,)


@pytest.mark.parametrize("symbol", ["m", "b", "p", "bʲ"])
def test_lips_close_in_the_frame_that_shows_a_closure(symbol: str) -> None:
    phones = (Phone("a", 0, 480), Phone(symbol, 480, 550), Phone("a", 550, 1000))
    track = hear(window(voice(1), phones=phones))
    assert track.opening[515 // 40] == 0.0
    assert track.opening[8] > 0.4
    assert track.opening[18] > 0.4


def test_u_is_rounder_than_i() -> None:
    def width(symbol: str) -> float:
        return float(hear(window(voice(1), phones=(Phone(symbol, 0, 1000),))).width[15])

    assert width("u") < -0.5
    assert width("iː") > 0.5


def test_f_shows_lips_nearly_closed() -> None:
    phones = (Phone("a", 0, 400), Phone("f", 400, 500), Phone("a", 500, 1000))
    opening = hear(window(voice(1), phones=phones)).opening
    assert 0 < opening[11] <= 0.12


def test_stress_marks_and_pauses_say_nothing() -> None:
    assert lips_of("ˈ") is None
    assert lips_of("") is None
    assert lips_of("ˈa") == lips_of("a")


def test_phones_of_no_length_are_passed_over() -> None:
    cues = cues_of((Phone("m", 100, 100),), 0, 10)
    assert not cues.weight.any()


def test_a_track_never_leaves_its_range() -> None:
    track: Track = hear(window(voice(1, level=0.9), phones=(Phone("a", 0, 1000),)))
    assert track.opening.max() <= 1
    assert np.abs(track.width).max() <= 1
