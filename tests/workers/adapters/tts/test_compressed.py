import asyncio
import random
from contextlib import suppress

import numpy as np
import pytest

from project.bench.babble import RATE, babble
from tests.support.encoding import encoded
from workers.adapters.errors import AdapterError
from workers.adapters.tts.compressed import SLICE_BYTES, CompressedDecoder, decoded
from workers.adapters.tts.framing import MAX_JUNK_BYTES, Adts, Mp3, NotSound, Ogg

TEXT = "Marmalade umbrellas never whistle, and nobody knows why they should."
KINDS = ("mp3", "aac", "opus")
ID3 = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(range(256))


def taken(decoder: CompressedDecoder, pieces: list[bytes]) -> bytes:
    chunks = [chunk for piece in pieces for chunk in decoder.feed(piece)] + decoder.finish()
    assert all(chunk.pcm and len(chunk.pcm) % 2 == 0 for chunk in chunks)
    assert {chunk.sample_rate for chunk in chunks} == {decoder.sample_rate}
    return b"".join(chunk.pcm for chunk in chunks)


def cut(data: bytes, seed: int, most: int) -> list[bytes]:
    dice, pieces, at = random.Random(seed), list[bytes](), 0
    while at < len(data):
        size = dice.randint(1, most)
        pieces.append(data[at : at + size])
        at += size
    return pieces


def clicks(rate: int = RATE) -> bytes:
    """A short pulse every 250 ms, from 100 ms on, for two seconds."""
    sound = np.zeros(2 * rate, np.int16)
    for start_ms in range(100, 1900, 250):
        at = start_ms * rate // 1000
        sound[at : at + rate // 100] = (12_000 * np.sin(np.arange(rate // 100) * 0.8)).astype(np.int16)
    return sound.tobytes()


def onsets_ms(pcm: bytes, rate: int) -> list[float]:
    """Where it becomes loud."""
    loud = np.abs(np.frombuffer(pcm, "<i2").astype(float)) > 4000
    starts = np.flatnonzero(loud)
    first = starts[np.concatenate(([True], np.diff(starts) > rate // 10))]
    return [at * 1000 / rate for at in first]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("seed", "most"), [(1, 3), (2, 200), (3, 5000)])
def test_pieces_sound_like_the_whole(kind, seed, most):
    data = encoded(babble(TEXT).pcm, RATE, kind)
    whole = taken(CompressedDecoder(kind, "test"), [data])
    assert taken(CompressedDecoder(kind, "test"), cut(data, seed, most)) == whole


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 2])
def test_the_sound_keeps_its_level_and_its_length(kind, channels):
    pcm = babble(TEXT).pcm
    decoder = CompressedDecoder(kind, "test")
    heard = np.frombuffer(taken(decoder, [encoded(pcm, RATE, kind, channels=channels)]), "<i2").astype(float)
    sent = np.frombuffer(pcm, "<i2").astype(float)
    assert abs(len(heard) / decoder.sample_rate - len(sent) / RATE) < 0.045
    assert abs(10 * np.log10(np.mean(heard**2) / np.mean(sent**2))) < 0.7


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_the_encoders_silence_is_taken_away(kind, rate):
    decoder = CompressedDecoder(kind, "test")
    heard = onsets_ms(
        taken(decoder, [encoded(clicks(rate), rate, kind, bit_rate=96_000)]), decoder.sample_rate
    )
    wanted = onsets_ms(clicks(rate), rate)
    assert len(heard) == len(wanted)
    assert max(abs(one - other) for one, other in zip(heard, wanted, strict=True)) < 3


def test_a_header_frame_tells_the_delay_and_is_not_heard():
    decoder, plain = CompressedDecoder("mp3", "test"), CompressedDecoder("mp3", "test")
    with_header = taken(decoder, [encoded(clicks(), RATE, header=True)])
    without = taken(plain, [encoded(clicks(), RATE)])
    assert onsets_ms(with_header, RATE) == pytest.approx(onsets_ms(without, RATE), abs=1)


def test_a_delay_that_a_provider_is_known_for_counts():
    data = encoded(clicks(), RATE)
    late = taken(CompressedDecoder("mp3", "test", delay_samples=0), [data])
    early = taken(CompressedDecoder("mp3", "test"), [data])
    assert len(late) - len(early) == 2 * 1105


def test_tags_before_and_behind_the_sound_are_skipped():
    data = encoded(babble(TEXT).pcm, RATE)
    tagged = ID3 + data + b"TAG" + bytes(125)
    assert taken(CompressedDecoder("mp3", "test"), cut(tagged, 4, 50)) == taken(
        CompressedDecoder("mp3", "test"), [data]
    )


def test_streams_one_behind_the_other_are_one_sound():
    """A long text is spoken in several turns."""
    one, other = encoded(clicks(), RATE), encoded(clicks(), RATE)
    heard = onsets_ms(taken(CompressedDecoder("mp3", "test"), [one + other]), RATE)
    apart = len(one) * 8 / 48  # ms, at 48 kbit/s
    assert len(heard) == 16
    assert heard[8] - heard[0] == pytest.approx(apart, abs=2)


def test_a_frame_that_broke_off_is_left_out():
    data = encoded(babble(TEXT).pcm, RATE)
    assert taken(CompressedDecoder("mp3", "test"), [data[:-100]]) != b""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "data",
    [b"", b"<html>502</html>", bytes(60_000), b"\xff" * 60_000, random.Random(5).randbytes(60_000)],
    ids=["nothing", "html", "zeros", "ones", "noise"],
)
def test_what_is_no_sound_is_an_error(kind, data):
    decoder = CompressedDecoder(kind, "test")
    with pytest.raises(AdapterError) as caught:
        taken(decoder, cut(data, 1, 4000))
    assert (caught.value.provider, caught.value.retryable) == ("test", False)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_sound_is_an_error_or_sound_and_nothing_else(kind):
    """Whatever bits a network turns, no other exception comes out."""
    data = bytearray(encoded(babble(TEXT).pcm, RATE, kind))
    dice = random.Random(7)
    for at in dice.sample(range(len(data)), len(data) // 20):
        data[at] = dice.randrange(256)
    decoder = CompressedDecoder(kind, "test")
    with suppress(AdapterError):
        assert len(taken(decoder, cut(bytes(data), 2, 900))) < 4 * len(babble(TEXT).pcm)


def test_a_rate_that_changes_in_the_middle_is_an_error():
    decoder = CompressedDecoder("mp3", "test")
    decoder.feed(encoded(clicks(), RATE))
    with pytest.raises(AdapterError):
        decoder.feed(encoded(clicks(16_000), 16_000))


async def test_others_run_while_a_long_answer_is_decoded():
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    data = encoded(babble(TEXT).pcm * 3, RATE)
    task = asyncio.create_task(other())
    async for _ in decoded(CompressedDecoder("mp3", "test"), data):
        pass
    task.cancel()
    assert turns >= len(data) // SLICE_BYTES


@pytest.mark.parametrize("framer", [Mp3, Adts, Ogg])
def test_no_framer_keeps_more_than_it_needs(framer):
    one = framer()
    with pytest.raises(NotSound):
        one.feed(bytes(20 * MAX_JUNK_BYTES))
