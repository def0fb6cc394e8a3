"""The avatar's own voice from a loudspeaker must not interrupt it; a person's must."""

import numpy as np
import pytest

from sessions.pipeline.echo import EchoGuard
from sessions.pipeline.vad import CHUNK_MS, VoiceDetector
from tests.support.hearing import cough, loudspeaker, mixed, room, spoken

CHUNK_BYTES = 1024
SPEAKS_AT = 1.0  # the avatar, s
TALK_SECONDS = 6.0
ROOMS = [
    {"delay_ms": 50, "quieter_db": 6, "band_hz": 6000},
    {"delay_ms": 120, "quieter_db": 12, "band_hz": 2500, "reverberation": 0.35},
    {"delay_ms": 300, "quieter_db": 6, "band_hz": 2500},
    {"delay_ms": 300, "quieter_db": 20, "band_hz": 3500, "reverberation": 0.35},
]


def suspected_at(microphone: bytes, avatar: np.ndarray, rate: int = 16_000) -> list[int]:
    """The ms at which a voice was heard that the avatar does not explain."""
    guard, found = EchoGuard(), []
    pcm = np.clip(np.repeat(avatar, rate // 16_000), -32768, 32767).astype("<i2").tobytes()
    guard.said(pcm, int(SPEAKS_AT * 1000), rate=rate)
    whole = microphone[: len(microphone) // CHUNK_BYTES * CHUNK_BYTES]
    odds = VoiceDetector().hear(np.frombuffer(whole, np.int16))
    for index, odd in enumerate(odds):
        now = (index + 1) * CHUNK_MS
        guard.heard(whole[index * CHUNK_BYTES :][:CHUNK_BYTES], now)
        if odd > 0.5 and guard.sounding(now) and not guard.explains():
            found.append(now)
    return found


@pytest.mark.parametrize("name", ["avatar_heart", "avatar_joe"])
@pytest.mark.parametrize("place", ROOMS)
def test_its_own_voice_is_explained(name, place):
    voice = spoken(name)[: int(TALK_SECONDS * 16_000)]
    heard = mixed(8, (SPEAKS_AT, loudspeaker(voice, **place)), (0, room(8, -55)))
    assert suspected_at(heard, voice) == []


@pytest.mark.parametrize("place", ROOMS)
@pytest.mark.parametrize("at", [2.6, 4.4])
def test_a_person_is_not(place, at):
    voice = spoken("avatar_heart")[: int(TALK_SECONDS * 16_000)]
    parts = [(SPEAKS_AT, loudspeaker(voice, **place)), (at, spoken("question")), (0, room(6, -55))]
    found = suspected_at(mixed(6, *parts), voice)
    assert found
    assert 0 < found[0] - at * 1000 <= 350


def test_sound_at_the_rate_of_playout_is_understood():
    voice = spoken("avatar_joe")[: (3 * 16_000)]
    echo = loudspeaker(voice, **ROOMS[1])
    assert suspected_at(mixed(5, (SPEAKS_AT, echo), (0, room(5, -55))), voice, rate=48_000) == []


def test_a_person_with_headphones_is_heard_at_once():
    voice = spoken("avatar_joe")[: (4 * 16_000)]
    found = suspected_at(mixed(5, (2.5, spoken("interruption")), (0, room(5, -55))), voice)
    assert 0 < found[0] - 2500 <= 250


def test_a_knock_over_the_avatar_is_not_enough():
    voice = spoken("avatar_joe")[: (4 * 16_000)]
    knock = cough()[:1100]
    parts = [(SPEAKS_AT, loudspeaker(voice, **ROOMS[1])), (2.5, knock), (3.5, knock), (0, room(5, -55))]
    assert suspected_at(mixed(5, *parts), voice) == []


def test_what_was_cut_explains_nothing():
    guard = EchoGuard()
    guard.said(bytes(2 * 48_000 * 3), 1000, rate=48_000)
    guard.cut(1500)
    assert guard.sounding(1600)
    assert guard.sounding(2200)
    assert not guard.sounding(2400)


def test_old_speech_is_forgotten():
    guard = EchoGuard()
    for second in range(30):
        guard.said(bytes(2 * 48_000), second * 1000, rate=48_000)
        guard.heard(bytes(CHUNK_BYTES), (second + 1) * 1000)
    assert len(guard._pieces) <= 5
