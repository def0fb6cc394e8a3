"""Joining: every frame once and in order, sound on time to the sample, nothing half done."""

import gc
import tracemalloc

import av
import numpy as np
import pytest

from tests.support.media import HEIGHT, WIDTH, decoded_numbers, numbered_frame, silent_video, voice
from workers.rendering.aac import AacEncoder, open_aac
from workers.rendering.assemble import AssemblyError, Piece, assemble
from workers.rendering.boxes import MalformedMedia, boxes
from workers.rendering.encode import encode_fragment, encode_idle
from workers.rendering.probe import inspect

PRESETS = ("ultrafast", "veryfast", "faster")


def fragment(first: int, frames: int, **options) -> bytes:
    pictures = (numbered_frame(number) for number in range(first, first + frames))
    return encode_fragment(pictures, width=WIDTH, height=HEIGHT, **options).data


def prepared(path, frames: int, cut: int = 4001, **options):
    sound = voice(frames / 25)
    with AacEncoder(path, **options) as encoder:
        data = sound.astype("<i2").tobytes()
        for start in range(0, len(data), cut):
            encoder.push(data[start : start + cut])
    return sound


@pytest.fixture
def film(tmp_path):
    """Twenty fragments of uneven length, by encoders of different presets and rate factors."""
    lengths = [25, *(7 + number * 5 % 31 for number in range(18)), 1]
    parts, at = [], 0
    for number, length in enumerate(lengths):
        parts.append(fragment(at, length, crf=18 + number % 10, preset=PRESETS[number % 3]))
        at += length
    sound = prepared(tmp_path / "audio.m4a", at)
    return parts, sound, tmp_path


def test_twenty_fragments_of_different_encoders_join_frame_by_frame(film):
    parts, _, folder = film
    out = folder / "video.mp4"
    done = assemble(iter(parts), folder / "audio.m4a", out)
    seen = inspect(out)

    assert decoded_numbers(out.read_bytes()) == list(range(done.frames))
    assert (seen.frames, seen.errors) == (done.frames, 0)
    assert np.allclose(np.diff([float(each) for each in seen.pts]), 0.04)
    assert (done.width, done.height, done.bytes) == (WIDTH, HEIGHT, out.stat().st_size)
    assert done.duration_ms == done.frames * 40


def test_nothing_is_encoded_again(film):
    parts, _, folder = film
    assemble(iter(parts), folder / "audio.m4a", folder / "video.mp4")
    joined = (folder / "video.mp4").read_bytes()

    for part in parts:
        media = next(part[each.start : each.end] for each in boxes(part) if each.kind == b"mdat")
        assert media[:200] in joined


def test_sound_and_pictures_begin_together_and_last_equally_long(film):
    parts, _, folder = film
    done = assemble(iter(parts), folder / "audio.m4a", folder / "video.mp4")
    seen = inspect(folder / "video.mp4")

    assert seen.pts[0] == 0
    assert seen.video_seconds == pytest.approx(done.frames / 25)
    assert abs(seen.audio_seconds - seen.video_seconds) <= 0.04
    assert abs(seen.audio_samples / 48_000 - done.frames / 25) <= 0.04


def test_the_sound_is_the_source_to_the_sample_with_no_seam(film):
    parts, sound, folder = film
    assemble(iter(parts), folder / "audio.m4a", folder / "video.mp4")
    heard = inspect(folder / "video.mp4", sound=True).sound[: len(sound)]
    source = sound[: len(heard)] / 32768

    def match(shift: int) -> float:
        return float(np.corrcoef(source[5000:-5000], np.roll(heard, shift)[5000:-5000])[0, 1])

    assert match(0) > 0.999
    assert all(match(0) > match(shift) for shift in (-1, 1, -1024, 1024))
    error = np.abs(heard - source)
    assert error.max() < 0.03
    ends = np.cumsum([inspect(part).frames for part in parts])[:-1] * 1920
    near = max(error[end - 1100 : end + 1100].max() for end in ends if end + 1100 < len(error))
    assert near <= error[2000:-2000].max()


def test_tables_come_before_the_media_so_that_it_plays_while_it_loads(film):
    parts, _, folder = film
    assemble(iter(parts), folder / "audio.m4a", folder / "video.mp4")
    kinds = [each.kind for each in boxes((folder / "video.mp4").read_bytes())]

    assert kinds[:2] == [b"ftyp", b"moov"]
    assert kinds[-1] == b"mdat"


def test_the_same_parts_make_the_same_file(film):
    parts, _, folder = film
    for name in ("a.mp4", "b.mp4"):
        assemble(iter(parts), folder / "audio.m4a", folder / name)

    assert (folder / "a.mp4").read_bytes() == (folder / "b.mp4").read_bytes()


def test_progress_tells_the_frames_written(tmp_path):
    prepared(tmp_path / "a.m4a", 20)
    told: list[int] = []
    assemble([fragment(0, 12), fragment(12, 8)], tmp_path / "a.m4a", tmp_path / "v.mp4", progress=told.append)

    assert told == [12, 20]


def test_a_fragment_of_another_size_is_refused_and_nothing_is_left(tmp_path):
    other = encode_fragment([numbered_frame(0, 160, 160)] * 5, width=160, height=160).data
    prepared(tmp_path / "a.m4a", 10)

    with pytest.raises(AssemblyError, match=r"fragment 1 \(160x160\)"):
        assemble([fragment(0, 5), other], tmp_path / "a.m4a", tmp_path / "v.mp4")
    assert [each.name for each in tmp_path.iterdir()] == ["a.m4a"]


def test_a_film_that_was_there_survives_a_failed_assembly(tmp_path):
    prepared(tmp_path / "a.m4a", 10)
    (tmp_path / "v.mp4").write_bytes(b"the film before")

    with pytest.raises(AssemblyError):
        assemble([fragment(0, 5), b"not a fragment at all"], tmp_path / "a.m4a", tmp_path / "v.mp4")
    assert (tmp_path / "v.mp4").read_bytes() == b"the film before"


@pytest.mark.parametrize("frames", [7, 14])
def test_sound_of_another_length_is_refused(tmp_path, frames):
    prepared(tmp_path / "a.m4a", frames)

    with pytest.raises(AssemblyError, match="the pictures last 400 ms"):
        assemble([fragment(0, 10)], tmp_path / "a.m4a", tmp_path / "v.mp4")


def test_no_fragments_make_no_film(tmp_path):
    prepared(tmp_path / "a.m4a", 1)

    with pytest.raises(AssemblyError, match="no fragment"):
        assemble([], tmp_path / "a.m4a", tmp_path / "v.mp4")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-20],
        lambda data: data[: len(data) // 4],
        lambda data: data[:60],
        lambda data: b"",
        lambda data: data.replace(b"avc1", b"hvc1"),
        lambda data: silent_video(),
    ],
    ids=["tail lost", "most lost", "header only", "empty", "another codec", "a foreign file"],
)
def test_a_damaged_or_foreign_fragment_is_named(tmp_path, damage):
    prepared(tmp_path / "a.m4a", 20)

    with pytest.raises(AssemblyError, match="fragment 1 cannot be used"):
        assemble([fragment(0, 10), damage(fragment(10, 10))], tmp_path / "a.m4a", tmp_path / "v.mp4")


def test_no_single_lost_byte_of_the_tables_passes_as_another_error(tmp_path):
    prepared(tmp_path / "a.m4a", 4)
    whole = fragment(0, 4)
    for at in range(whole.index(b"mdat")):
        broken = whole[:at] + b"\xff" + whole[at + 1 :]
        try:
            assemble([broken], tmp_path / "a.m4a", tmp_path / "v.mp4")
        except AssemblyError:
            continue


def test_recordings_cut_tails_and_enter_loops_at_an_idr_frame(tmp_path):
    loop = encode_idle([numbered_frame(number) for number in range(20)], width=WIDTH, height=HEIGHT).data
    prepared(tmp_path / "a.m4a", 18)
    assemble(
        [Piece(loop, 5, 8), Piece(fragment(100, 10), 0, 4), Piece(loop, 10, 6)],
        tmp_path / "a.m4a",
        tmp_path / "v.mp4",
    )

    played = [*range(5, 13), *range(100, 104), *range(10, 16)]
    assert decoded_numbers((tmp_path / "v.mp4").read_bytes()) == played


def test_a_picture_may_stand_still_while_the_sound_goes_on(tmp_path):
    """What a viewer saw when the sender stood still."""
    sound = prepared(tmp_path / "a.m4a", 30)
    pieces = [Piece(fragment(0, 10), 0, 8, {3: 15}), Piece(fragment(10, 5), held={4: 2})]
    done = assemble(pieces, tmp_path / "a.m4a", tmp_path / "v.mp4")
    seen = inspect(tmp_path / "v.mp4")

    assert (done.frames, done.duration_ms, seen.errors) == (30, 1200, 0)
    assert decoded_numbers((tmp_path / "v.mp4").read_bytes()) == [*range(8), *range(10, 15)]
    frames = [round(float(each) * 25) for each in seen.pts]
    assert frames == [0, 1, 2, 3, *range(19, 28)]
    assert abs(seen.audio_seconds - len(sound) / 48_000) < 0.001


def test_the_two_sides_may_be_different(tmp_path):
    left, right = voice(1.0), voice(2.0)[48_000:]
    with AacEncoder(tmp_path / "a.m4a", channels=2, sides=2) as encoder:
        data = np.stack((left, right), axis=1).astype("<i2").tobytes()
        for start in range(0, len(data), 4001):
            encoder.push(data[start : start + 4001])
    assemble([fragment(0, 25)], tmp_path / "a.m4a", tmp_path / "v.mp4")

    with av.open(str(tmp_path / "v.mp4")) as container:
        heard = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    for side, said in zip(heard * 32768, (left, right), strict=True):
        assert np.corrcoef(side[:48_000], said)[0, 1] > 0.99


@pytest.mark.parametrize(("channels", "sides"), [(3, 1), (1, 2), (2, 0)])
def test_other_numbers_of_channels_are_refused(tmp_path, channels, sides):
    with pytest.raises(ValueError, match="channels"):
        AacEncoder(tmp_path / "a.m4a", channels=channels, sides=sides)


@pytest.mark.parametrize("piece", [(3, 4), (20, 5)])
def test_a_piece_that_starts_between_idr_frames_or_past_the_end_is_refused(tmp_path, piece):
    loop = encode_idle([numbered_frame(number) for number in range(20)], width=WIDTH, height=HEIGHT).data
    prepared(tmp_path / "a.m4a", 5)

    with pytest.raises(AssemblyError, match="no IDR frame"):
        assemble([Piece(loop, *piece)], tmp_path / "a.m4a", tmp_path / "v.mp4")


def test_memory_does_not_hold_the_media(tmp_path):
    noise = np.random.default_rng(4).integers(16, 235, (HEIGHT * 3 // 2, WIDTH), np.uint8)
    part = encode_fragment(
        [np.roll(noise, 9 * number) for number in range(25)], width=WIDTH, height=HEIGHT
    ).data
    peaks = []
    for count in (4, 24):
        prepared(tmp_path / "a.m4a", 25 * count)
        gc.collect()
        tracemalloc.start()
        assemble((bytes(bytearray(part)) for _ in range(count)), tmp_path / "a.m4a", tmp_path / "v.mp4")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] - peaks[0] < len(part) / 2  # the media grew by twenty times that part


def test_sound_may_be_the_same_on_both_sides(tmp_path):
    prepared(tmp_path / "a.m4a", 10, channels=2)
    assemble([fragment(0, 10)], tmp_path / "a.m4a", tmp_path / "v.mp4")

    assert inspect(tmp_path / "v.mp4").audio_channels == 2


def test_how_sound_is_cut_into_pushes_changes_nothing(tmp_path):
    for name, cut in (("a", 1), ("b", 3333), ("c", 10**9)):
        prepared(tmp_path / name, 2, cut=cut)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_prepared_sound_plays_alone(tmp_path):
    sound = prepared(tmp_path / "a.m4a", 33)
    seen = inspect(tmp_path / "a.m4a")

    assert (seen.audio_codec, seen.audio_channels) == ("aac", 1)
    assert abs(seen.audio_samples - len(sound)) < 1024
    assert open_aac(tmp_path / "a.m4a").samples == len(sound)


def test_an_interrupted_encoder_leaves_nothing(tmp_path):
    def interrupted() -> None:
        with AacEncoder(tmp_path / "a.m4a") as encoder:
            encoder.push(bytes(9600))
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_sound_of_no_length_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no sound"):
        AacEncoder(tmp_path / "a.m4a").close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"junk", bytes(64), silent_video()])
def test_other_files_are_no_prepared_sound(tmp_path, data):
    (tmp_path / "a.m4a").write_bytes(data)

    with pytest.raises(MalformedMedia):
        open_aac(tmp_path / "a.m4a")
