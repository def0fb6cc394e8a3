"""The preview: segments that decode as one film, in playlists that only grow."""

import struct

import numpy as np
import pytest

from tests.support.media import HEIGHT, WIDTH, decoded_numbers, numbered_frame, voice
from workers.rendering import hls
from workers.rendering.boxes import need
from workers.rendering.encode import encode_fragment
from workers.rendering.probe import inspect

LENGTHS = [25, 75, 31, 60, 7]


@pytest.fixture(scope="module")
def parts():
    starts = np.cumsum([0, *LENGTHS[:-1]])
    return [
        encode_fragment(
            (numbered_frame(number) for number in range(start, start + length)),
            width=WIDTH,
            height=HEIGHT,
            crf=20 + length % 5,
        ).data
        for start, length in zip(starts, LENGTHS, strict=True)
    ]


def starts() -> list[int]:
    return [int(each) for each in np.cumsum([0, *LENGTHS[:-1]])]


def test_init_and_segments_in_a_row_are_one_film(parts):
    segments = [
        hls.fragment_to_segment(part, number, hls.decode_time(start))
        for number, (part, start) in enumerate(zip(parts, starts(), strict=True), 1)
    ]
    film = hls.init_segment(parts[-1]) + b"".join(segments)
    seen = inspect(film)

    assert decoded_numbers(film) == list(range(sum(LENGTHS)))
    assert seen.errors == 0
    assert seen.idr == starts()
    assert [float(each) for each in seen.pts] == pytest.approx([number / 25 for number in range(seen.frames)])


def test_a_segment_can_be_watched_without_those_before(parts):
    film = hls.init_segment(parts[0]) + hls.fragment_to_segment(parts[2], 3, hls.decode_time(100))
    seen = inspect(film)

    assert decoded_numbers(film) == list(range(100, 131))
    assert seen.pts[0] == 4


def test_a_segment_tells_its_time_its_number_and_which_sample_is_an_entry_point(parts):
    segment = hls.fragment_to_segment(parts[1], 2, hls.decode_time(25))
    run = need(segment, "moof/traf/trun")
    flags, count, offset = struct.unpack_from(">IIi", run)
    rows = [struct.unpack_from(">II", run, 12 + 8 * number) for number in range(count)]

    assert struct.unpack(">II", need(segment, "moof/mfhd")) == (0, 2)
    assert struct.unpack(">IQ", need(segment, "moof/traf/tfdt")) == (1 << 24, 90_000)
    assert (flags, count) == (0x601, 75)
    assert rows[0][1] == 0x02000000
    assert {row[1] for row in rows[1:]} == {0x01010000}
    media = segment.index(b"mdat") + 4
    assert segment.index(b"moof") - 4 + offset == media
    assert sum(size for size, _ in rows) == len(segment) - media


def test_sound_made_segment_by_segment_has_no_seam():
    sound = voice(sum(LENGTHS) / 25)
    read = hls.sound_reader(sound.tobytes())
    pieces = [
        hls.audio_segment(read, number, start, length)
        for number, (start, length) in enumerate(zip(starts(), LENGTHS, strict=True), 1)
    ]
    heard = inspect(hls.audio_init_segment() + b"".join(pieces), sound=True).sound
    size = min(len(heard), len(sound))
    error = np.abs(heard[:size] - sound[:size] / 32768)[1024:]

    assert len(sound) <= len(heard) < len(sound) + 1024
    assert error.max() < 0.03
    near = max(error[start * 1920 - 3100 : start * 1920 + 1100].max() for start in starts()[1:])
    assert near < 3 * np.percentile(error, 99)


def test_sound_that_is_not_spoken_yet_is_silence():
    read = hls.sound_reader(voice(1).tobytes())

    assert inspect(hls.audio_init_segment() + hls.audio_segment(read, 1, 0, 25)).audio_samples >= 48_000
    assert read(-4, 2) == bytes(4)
    assert len(read(47_990, 40)) == 80
    assert read(47_990, 40)[20:] == bytes(60)


def test_a_reader_of_a_part_knows_where_it_begins():
    sound = voice(1).tobytes()

    assert hls.sound_reader(sound[2000:], 1000)(990, 20) == bytes(20) + sound[2000:2020]


def test_the_sound_of_a_segment_is_the_same_from_any_process():
    read = hls.sound_reader(voice(4).tobytes())

    assert hls.audio_segment(read, 2, 25, 50) == hls.audio_segment(read, 2, 25, 50)


def test_a_playlist_only_grows_until_it_ends():
    one = hls.media_playlist([hls.Segment("0.m4s", 25)], False, init_uri="init.mp4")
    two = hls.media_playlist([hls.Segment("0.m4s", 25), hls.Segment("1.m4s", 75)], True, init_uri="init.mp4")

    assert two.startswith(one)
    assert "#EXT-X-PLAYLIST-TYPE:EVENT" in one
    assert "#EXT-X-TARGETDURATION:3" in one
    assert '#EXT-X-MAP:URI="init.mp4"' in one
    assert two.endswith("#EXTINF:3.00000,\n1.m4s\n#EXT-X-ENDLIST\n")


def test_the_master_playlist_names_codecs_and_both_renditions(parts):
    text = hls.master_playlist(
        video_uri="video.m3u8",
        audio_uri="audio.m3u8",
        width=WIDTH,
        height=HEIGHT,
        codecs=hls.codecs(parts[0]),
    )

    assert 'CODECS="avc1.42C01F,mp4a.40.2"' in text
    assert 'URI="audio.m3u8"' in text
    assert text.endswith("\nvideo.m3u8\n")
