"""The microphone: time is kept, whatever is lost or not sent."""

import math
import struct

import av
import numpy as np
import pytest

from project.bench.client import opus_encoder
from rtc.inbound import AvDecoder, Decoder, LibopusDecoder, Microphone, decoder
from tests.support.rtc import opus_packets

PAYLOAD_TYPE, LEVEL_ID, SSRC = 111, 1, 77


def header(sequence: int, timestamp: int, *, level: int | None = None) -> bytes:
    first = 0x90 if level is not None else 0x80
    packed = struct.pack("!BBHII", first, PAYLOAD_TYPE, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, SSRC)
    if level is not None:
        packed += struct.pack("!HHBBxx", 0xBEDE, 1, LEVEL_ID << 4, level)
    return packed


class Mic:
    """A microphone under test, its clock, and a tone of 20 ms packets to feed it."""

    def __init__(self, *, sequence: int = 100, timestamp: int = 5000) -> None:
        self.now = 10.0
        self.heard = b""
        self.mic = Microphone(PAYLOAD_TYPE, LEVEL_ID, self._take, lambda: self.now)
        self.sequence, self.timestamp = sequence, timestamp
        self.packets = opus_packets()

    def _take(self, pcm: bytes) -> None:
        self.heard += pcm

    @property
    def samples(self) -> int:
        return len(self.heard) // 2

    def send(self, number: int, *, sequence: int | None = None, level: int | None = None) -> None:
        """Packet `number` of the tone; numbers are 20 ms apart on both clocks."""
        counted = number if sequence is None else sequence
        head = header(self.sequence + counted, self.timestamp + number * 960, level=level)
        self.mic.packet(head + self.packets[number % len(self.packets)])

    def run(self, first: int, last: int) -> None:
        """Send these packets in time, with our ticks between."""
        for number in range(first, last):
            self.now += 0.020
            self.send(number)
            if number % 2:
                self.mic.tick()
        self.mic.tick()


@pytest.mark.parametrize("make", [LibopusDecoder, AvDecoder])
def test_both_decoders_hear_the_same_tone(make: type[Decoder]) -> None:
    opus = make()
    pcm = np.frombuffer(b"".join(opus.decode(packet) for packet in opus_packets()[:50]), np.int16)
    assert len(pcm) == pytest.approx(16_000, abs=400)
    tone = pcm[4000:12_000].astype(float)
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(len(tone))))
    assert np.argmax(spectrum) * 16_000 / len(tone) == pytest.approx(440, abs=4)
    assert np.abs(tone).max() == pytest.approx(8000, rel=0.2)


def test_what_is_no_opus_is_no_sound() -> None:
    opus = decoder()
    assert opus.decode(b"\xff" * 3) == b""
    assert len(opus.conceal(320)) == 640


def test_sound_comes_whole_and_in_order() -> None:
    mic = Mic()
    mic.run(0, 50)
    assert mic.samples == 50 * 320
    assert (mic.mic.received, mic.mic.lost) == (50, 0)


def test_lost_packets_are_concealed_and_counted() -> None:
    mic = Mic()
    mic.run(0, 20)
    mic.run(22, 40)
    assert mic.samples == 40 * 320
    assert mic.mic.lost == 2
    gap = np.frombuffer(mic.heard, np.int16)[20 * 320 : 22 * 320].astype(float)
    assert np.sqrt((gap**2).mean()) > 1000, "the tone goes on over the gap"


def test_a_pause_in_sending_is_silence_while_it_lasts() -> None:
    """Browsers stop sending when nobody speaks (DTX): the next packet is far in time, not in number."""
    mic = Mic()
    mic.run(0, 10)
    for _ in range(20):  # 0.8 s without a packet
        mic.now += 0.040
        mic.mic.tick()
    assert mic.samples == pytest.approx(10 * 320 + 0.8 * 16_000, abs=700)
    before = mic.samples
    mic.now += 0.020
    mic.send(51, sequence=10)
    mic.mic.tick()
    assert 320 <= mic.samples - before <= 320 + 1000
    assert mic.mic.lost == 0


def test_a_late_packet_is_dropped_and_one_that_is_twice_there_counts_once() -> None:
    mic = Mic()
    mic.run(0, 10)
    mic.send(9)
    mic.send(5)
    mic.mic.tick()
    assert mic.samples == 10 * 320


def test_numbers_and_times_wrap() -> None:
    mic = Mic(sequence=65_530, timestamp=2**32 - 3000)
    mic.run(0, 20)
    assert mic.samples == 20 * 320
    assert mic.mic.highest_sequence == 65_536 + 13


def test_another_stream_begins_anew() -> None:
    mic = Mic()
    mic.run(0, 5)
    mic.timestamp += 2**31
    mic.sequence += 9000
    mic.run(5, 10)
    assert mic.samples == 10 * 320


def test_times_that_jump_ahead_do_not_make_more_sound_than_time() -> None:
    mic = Mic()
    mic.run(0, 10)
    for jump in range(1, 50):  # each packet says that two seconds passed
        mic.now += 0.020
        mic.send(10 + 100 * jump, sequence=9 + jump)
        mic.mic.tick()
    assert mic.samples <= (0.2 + 50 * 0.020 + 1) * 16_000
    before, mic.timestamp = mic.samples, mic.timestamp + 2**31
    for number in range(50, 100):  # and each belongs to another stream
        mic.now += 0.020
        mic.timestamp += 2**30
        mic.send(number)
        mic.mic.tick()
    assert mic.samples - before <= 50 * 320


def test_packets_faster_than_time_are_left_out_and_what_follows_is_heard() -> None:
    mic = Mic()
    mic.run(0, 10)
    for number in range(10, 200):
        mic.send(number)
    mic.mic.tick()
    assert mic.samples <= (0.2 + 1) * 16_000
    mic.now += 3.8
    mic.run(200, 220)
    assert mic.samples >= 3 * 16_000, "of a pause two seconds are filled"
    assert np.frombuffer(mic.heard[-640:], np.int16).any()


def test_a_flood_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    class Deaf:
        def decode(self, payload: bytes) -> bytes:
            decoded.append(payload)
            return b""

        def conceal(self, samples: int) -> bytes:
            return b""

    monkeypatch.setattr("rtc.inbound.decoder", Deaf)
    mic = Mic()
    for number in range(1000):
        mic.send(0, sequence=number)
    assert len(decoded) == 100
    mic.mic.tick()
    mic.send(0, sequence=1000)
    assert len(decoded) == 101


def test_a_muted_microphone_is_silent_without_being_decoded() -> None:
    mic = Mic()
    for number in range(10):
        mic.send(number, level=127)
    mic.mic.tick()
    assert mic.heard == bytes(10 * 640)
    assert mic.mic._decoder is None


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x80",
        bytes(13),
        header(1, 1),
        b"\xbf\x6f" + bytes(30),
        b"\x90\x6f" + bytes(10) + b"\xbe\xde\xff\xff",
    ],
)
def test_malformed_packets_are_dropped(packet: bytes) -> None:
    mic = Mic()
    mic.mic.packet(packet)
    mic.mic.tick()
    assert mic.samples == 0


def test_wideband_speech_as_browsers_send_it_keeps_its_length() -> None:
    encoder = opus_encoder()
    packets: list[bytes] = []
    tone = (np.sin(np.arange(16_000) * 2 * math.pi * 300 / 16_000) * 8000).astype(np.int16)
    for start in range(0, 16_000, 320):
        frame = av.AudioFrame.from_ndarray(tone[None, start : start + 320], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16_000, start
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    mic = Mic()
    mic.packets = tuple(packets)
    mic.run(0, len(packets))
    assert mic.samples == len(packets) * 320


def test_the_report_says_what_was_lost_since_the_last_one() -> None:
    mic = Mic()
    mic.run(0, 10)
    mic.run(20, 30)
    first = mic.mic.report_block(5, 6)
    assert (first.ssrc, first.packets_lost, first.fraction_lost) == (SSRC, 10, 10 * 256 // 30)
    assert mic.mic.report_block(5, 6).fraction_lost == 0
