"""Sound to packets, heard through the decoder of a receiver that knows nothing of our encoders."""

from itertools import pairwise

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from rtc.comfort import COMFORT, SILENT_PACKET
from rtc.opus import DELAY_SAMPLES, AvCodec, LibopusCodec, OpusEncoder
from tests.support.media import voice


def heard(packets: list[bytes]) -> NDArray[np.float64]:
    decoder = av.CodecContext.create("libopus", "r")
    decoder.format, decoder.layout, decoder.sample_rate = "s16", "mono", 48_000
    parts = [frame.to_ndarray()[0] for packet in packets for frame in decoder.decode(av.Packet(packet))]
    return np.concatenate(parts).astype(np.float64)


def encoded(sound: NDArray[np.int16]) -> list[bytes]:
    encoder = OpusEncoder()
    return encoder.push(sound.tobytes()) + encoder.flush()


def lag(reference: NDArray[np.int16], sound: NDArray[np.float64]) -> int:
    """How many samples `sound` lies behind `reference`."""
    size = len(reference)
    spectrum = np.fft.rfft(sound[:size], 2 * size) * np.conj(np.fft.rfft(reference, 2 * size))
    peak = int(np.argmax(np.fft.irfft(spectrum)))
    return peak if peak < size else peak - 2 * size


def test_a_second_is_fifty_packets():
    assert len(encoded(voice(1.0))) == 50


def test_sound_may_come_in_any_pieces():
    pcm = voice(0.5).tobytes()
    encoder, packets = OpusEncoder(), []
    cuts = [0, 1, 2, 5, 1919, 1921, 7001, 20_000, len(pcm)]
    for start, end in pairwise(cuts):
        packets += encoder.push(pcm[start:end])

    assert packets + encoder.flush() == encoded(voice(0.5))


def test_an_end_within_a_packet_is_filled_with_silence():
    encoder = OpusEncoder()

    assert encoder.push(voice(0.03).tobytes())
    assert len(encoder.flush()) == 1
    assert encoder.flush() == []


def test_what_is_heard_lies_two_and_a_half_milliseconds_behind_the_lips():
    sound = voice(2.0)

    assert lag(sound, heard([*COMFORT, *encoded(sound)])[1920:]) == DELAY_SAMPLES


def test_it_resembles_what_was_said():
    sound = voice(2.0).astype(np.float64)

    result = heard(encoded(voice(2.0)))[DELAY_SAMPLES:]
    error = result - sound[: len(result)]

    assert 10 * np.log10((sound**2).mean() / (error**2).mean()) > 20


def test_comfort_is_silence():
    assert not heard(list(COMFORT) * 25).any()


def test_an_encoder_of_silence_makes_the_comfort_sound():
    """It is why the two streams join: the encoder was in the state that this packet leaves."""
    assert encoded(np.zeros(9600, np.int16)) == [SILENT_PACKET] * 10


def test_an_utterance_sounds_after_comfort_as_in_one_stream():
    sound = voice(0.5)
    one_stream = encoded(np.concatenate((np.zeros(9600, np.int16), sound)))

    joined = heard([*COMFORT * 5, *encoded(sound)])

    assert np.array_equal(joined, heard(one_stream))


@pytest.mark.parametrize("cut", range(7, 40, 3))
def test_a_cut_voice_fades_without_a_click(cut):
    """No step in the sound is larger than those of the voice itself, and it is silent at once."""
    packets = encoded(voice(1.0))

    sound = heard([*COMFORT, *packets[:cut], *COMFORT])

    end = (cut + 2) * 960
    steps = np.abs(np.diff(sound))
    assert steps[end : end + DELAY_SAMPLES].max() <= 1.5 * steps[1920:end].max()
    assert np.abs(sound[end + DELAY_SAMPLES : end + 960]).max() < 0.02 * np.abs(sound).max()
    assert not sound[end + 960 :].any()


@pytest.mark.parametrize("make", [LibopusCodec, AvCodec])
def test_either_way_to_the_encoder_sounds_the_same(make, monkeypatch):
    monkeypatch.setattr("rtc.opus.codec_for", make)
    sound = voice(1.0)

    assert bytes(SILENT_PACKET) == make(40_000, 2).encode(bytes(1920))[0][:3]
    assert lag(sound, heard([*COMFORT, *encoded(sound)])[1920:]) == DELAY_SAMPLES


def test_both_ways_to_the_encoder_give_the_same_packets():
    pcm = voice(1.0).tobytes()

    assert LibopusCodec(40_000, 2).encode(pcm) == AvCodec(40_000, 2).encode(pcm)
