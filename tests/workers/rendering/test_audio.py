"""Any sound in, timeline sound out; anything else is refused with a code that says why."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.media import encoded_sound, silent_video, voice, wav
from workers.rendering.audio import decode_audio
from workers.rendering.errors import MediaError


def decoded(source, **limits) -> np.ndarray:
    _, pieces = decode_audio(source, **limits)
    return np.frombuffer(b"".join(pieces), "<i2")


def code(source, **limits) -> str:
    with pytest.raises(MediaError) as raised:
        decoded(source, **limits)
    return raised.value.code


def test_timeline_sound_passes_unchanged():
    sound = voice(1.3)

    assert np.array_equal(decoded(wav(sound)), sound)


def test_it_reads_from_a_path_and_an_open_file(tmp_path):
    data = wav(voice(0.5))
    (tmp_path / "a").write_bytes(data)

    assert len(decoded(tmp_path / "a")) == len(decoded(io.BytesIO(data))) == 24_000


def test_it_tells_what_the_file_is():
    info, _ = decode_audio(wav(voice(1, 22_050).repeat(2), 22_050, 2))

    assert (info.codec, info.sample_rate, info.channels, info.claimed_ms) == ("pcm_s16le", 22_050, 2, 1000)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 96_000])
def test_every_rate_becomes_48_khz(rate):
    sound = decoded(wav(voice(1, rate), rate))

    assert abs(len(sound) - 48_000) <= 100
    assert np.corrcoef(sound[2000:40_000], voice(1)[2000:40_000])[0, 1] > 0.95


@pytest.mark.parametrize("channels", [2, 3, 6, 8, 12])
def test_every_number_of_channels_becomes_one(channels):
    sound = decoded(wav(np.repeat(voice(0.5), channels), 48_000, channels))

    assert len(sound) == 24_000
    assert np.corrcoef(sound, voice(0.5))[0, 1] > 0.99


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mp3", "libmp3lame"),
        ("ogg", "libopus"),
        ("mp4", "aac"),
        ("flac", "flac"),
        ("webm", "libopus"),
        ("adts", "aac"),
    ],
)
def test_usual_formats_are_read(container, codec):
    sound = decoded(encoded_sound(1, format=container, codec=codec))

    assert abs(len(sound) - 48_000) < 4000
    assert np.abs(sound).max() > 5000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        bytes(5000),
        b"hello, this is a letter" * 50,
        b"\x89PNG\r\n\x1a\n" + bytes(500),
        b"PK\3\4" + bytes(900),
    ],
    ids=["empty", "four bytes", "zeros", "text", "picture", "archive"],
)
def test_what_is_no_sound_is_refused(data):
    assert code(data) == "unreadable_media"


@pytest.mark.parametrize(
    "data",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
    ],
    ids=["HLS playlist", "concatenation", "DASH manifest", "SDP"],
)
def test_a_file_cannot_make_us_open_another(data):
    assert code(data) == "unreadable_media"


def test_a_video_without_sound_has_no_sound():
    assert code(silent_video()) == "no_audio"


def test_a_wav_that_lost_its_end_is_refused():
    data = wav(voice(2))

    assert code(data[: len(data) // 2]) == "unreadable_media"


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("flac", "flac")])
def test_a_compressed_file_that_lost_its_end_is_refused(container, codec):
    data = encoded_sound(3, format=container, codec=codec)

    assert code(data[: len(data) // 2]) == "unreadable_media"


def test_a_file_of_noise_behind_a_good_header_is_refused():
    data = bytearray(encoded_sound(2, format="flac", codec="flac"))
    data[2000:-10] = np.random.default_rng(1).bytes(len(data) - 2010)

    assert code(bytes(data)) == "unreadable_media"


def test_a_long_sound_is_refused_by_its_header_alone():
    data = wav(np.zeros(8000 * 60, np.int16), 8000)

    with pytest.raises(MediaError) as raised:
        decode_audio(data, max_seconds=30)
    assert raised.value.code == "too_long"


def test_a_sound_that_hides_its_length_is_stopped_at_the_limit():
    data = bytearray(encoded_sound(60, format="flac", codec="flac", rate=8000))
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # "number of samples not known", as written to a pipe
    pieces = decode_audio(io.BytesIO(bytes(data)), max_seconds=30)[1]

    heard: list[int] = []
    with pytest.raises(MediaError) as raised:
        heard.extend(len(piece) // 2 for piece in pieces)
    assert raised.value.code == "too_long"
    assert sum(heard) <= 30 * 48_000


def test_a_short_sound_and_a_large_file_are_refused():
    assert code(wav(voice(0.05))) == "too_short"
    assert code(wav(voice(1)), max_bytes=1000) == "too_large"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damage_anywhere_ends_in_sound_or_in_a_media_error(data):
    kinds = [wav(voice(0.3)), FLAC, MP4, OGG]
    file = bytearray(data.draw(st.sampled_from(kinds)))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(file) - 1))
        file[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(file))))
    try:
        sound = decoded(bytes(file[:cut]), max_seconds=5)
    except MediaError as error:
        assert error.code in {"unreadable_media", "no_audio", "too_long", "too_short"}  # noqa: PT017
    else:
        assert 4800 <= len(sound) <= 5 * 48_000


def test_a_codec_that_nobody_knows_is_refused():
    file = bytearray(wav(voice(0.3)))
    file[20] = 0  # the format tag
    with pytest.raises(MediaError) as refusal:
        decoded(bytes(file), max_seconds=5)
    assert refusal.value.code == "unreadable_media"


FLAC = encoded_sound(0.3, format="flac", codec="flac")
MP4 = encoded_sound(0.3, format="mp4", codec="aac")
OGG = encoded_sound(0.3, format="ogg", codec="libopus")
