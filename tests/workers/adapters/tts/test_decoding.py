import struct

import numpy as np
import pytest

from tests.support.speech_server import tone
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import PcmChunk
from workers.adapters.tts.decoding import WavDecoder, decoder_for

SAMPLES = np.frombuffer(tone(50), "<i2")


def wav(
    data: bytes, kind: int, channels: int, bits: int, *, rate: int = 24_000, name: bytes = b"RIFF"
) -> bytes:
    form = struct.pack("<HHIIHH", kind & 0xFFFF, channels, rate, rate, channels * bits // 8, bits)
    if kind == 0xFFFE:
        form += struct.pack("<HHI", 22, bits, 0) + struct.pack("<H", 1) + bytes(14)
    head = name + struct.pack("<I", 0) + b"WAVEfmt " + struct.pack("<I", len(form)) + form
    return head + b"data" + struct.pack("<I", len(data)) + data


def heard(content: bytes, step: int) -> np.ndarray:
    decoder, pcm = WavDecoder("acme"), b""
    for at in range(0, len(content), step):
        for chunk in decoder.feed(content[at : at + step]):
            assert chunk.sample_rate == 24_000
            pcm += chunk.pcm
    decoder.finish()
    return np.frombuffer(pcm, "<i2")


def _in_24_bits(samples: np.ndarray) -> bytes:
    return b"".join(struct.pack("<i", int(sample) << 8)[:3] for sample in samples)


@pytest.mark.parametrize("step", [1, 7, 333, 100_000])
@pytest.mark.parametrize(
    "content",
    [
        wav(SAMPLES.tobytes(), 1, 1, 16),
        wav(SAMPLES.tobytes(), 0xFFFE, 1, 16),
        wav(np.repeat(SAMPLES, 2).astype("<i2").tobytes(), 1, 2, 16),
        wav(_in_24_bits(SAMPLES), 1, 1, 24),
        wav((SAMPLES.astype("<i4") << 16).astype("<i4").tobytes(), 1, 1, 32),
        wav((SAMPLES / 32768).astype("<f4").tobytes(), 3, 1, 32),
        wav(SAMPLES.tobytes(), 1, 1, 16, name=b"RF64"),
    ],
    ids=["s16", "extensible", "stereo", "s24", "s32", "f32", "rf64"],
)
def test_every_common_wav_becomes_the_same_samples(content, step):
    assert np.array_equal(heard(content, step), SAMPLES)


def test_floats_beyond_the_limits_are_clipped_and_nonsense_is_silence():
    data = np.array([2.0, -2.0, np.nan, 0.0], "<f4").tobytes()
    assert list(heard(wav(data, 3, 1, 32), 1000)) == [32767, -32768, 0, 0]


@pytest.mark.parametrize(
    "content",
    [
        b"OggS" + bytes(60),
        wav(b"", 85, 1, 16),
        wav(b"", 1, 6, 16),
        wav(b"", 1, 1, 8),
        wav(b"", 1, 1, 16, rate=900),
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
        b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\x00" + bytes(70_000),
    ],
)
def test_what_is_no_wav_we_know_is_an_error(content):
    with pytest.raises(AdapterError) as caught:
        WavDecoder("acme").feed(content)
    assert not caught.value.retryable


@pytest.mark.parametrize("cut", [3, 30, 46, 100])
def test_a_wav_that_ends_early_is_truncated(cut):
    decoder = WavDecoder("acme")
    decoder.feed(wav(SAMPLES.tobytes(), 1, 1, 16)[:cut])
    with pytest.raises(AdapterError) as caught:
        decoder.finish()
    assert caught.value.code == "provider_truncated"


def test_what_follows_the_samples_is_not_heard():
    content = wav(SAMPLES.tobytes(), 1, 1, 16) + b"LIST" + bytes(40)
    assert np.array_equal(heard(content, 100), SAMPLES)


@pytest.mark.parametrize(("asked", "is_pcm"), [("pcm", True), ("wav", False)])
def test_where_the_type_is_not_told_it_is_what_was_asked_for(asked, is_pcm):
    decoder = decoder_for("application/octet-stream", asked, 16_000, "acme")
    content = SAMPLES.tobytes() if is_pcm else wav(SAMPLES.tobytes(), 1, 1, 16)
    (chunk,) = decoder.feed(content)
    assert isinstance(chunk, PcmChunk)
    assert chunk.sample_rate == (16_000 if is_pcm else 24_000)


@pytest.mark.parametrize("kind", ["text/html", "application/xml", "video/mp4"])
def test_a_page_is_no_sound(kind):
    with pytest.raises(AdapterError):
        decoder_for(kind, "pcm", 16_000, "acme")
