"""The customer's microphone: Opus packets in, 16 kHz mono PCM out, a chunk for each frame of ours.

libopus decodes straight to 16 kHz mono: a 20 ms packet costs 15 to 30 microseconds, a quarter of
decoding to 48 kHz stereo and resampling, so it is done where the packet arrives. PyAV brings
libopus along; where it cannot be found PyAV itself decodes, at that price.

The sound delivered is as long as the time that passed: lost packets are concealed, and pauses
(a silent browser sends next to nothing) are filled with silence while they last, because the end
of a turn is known by it. No more is delivered than the time that passed, and a little: whatever times
a client writes into its packets, it cannot make us hear hours of sound in a minute.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Protocol

import av

from rtc.libopus import libopus
from rtc.rtcp import ReceiverBlock

SAMPLE_RATE = 16_000
SAMPLE_BYTES = 2
PACKET_SAMPLES = 320  # 20 ms
RTP_TICKS_PER_SAMPLE = 3  # the RTP clock of Opus runs at 48 kHz
MAX_PACKET_SAMPLES = 1920  # 120 ms, the longest Opus packet
MAX_CONCEALED = 3 * PACKET_SAMPLES
MAX_GAP_SAMPLES = 2 * SAMPLE_RATE
RESTART_TICKS = 48_000 * 10
PAUSE_SECONDS = 0.12  # without a packet, until silence is assumed
MAX_PENDING = 5 * PACKET_SAMPLES * SAMPLE_BYTES
AHEAD_SAMPLES = SAMPLE_RATE  # sound that may be here before its time: what a stalled network sends at once
MAX_PACKETS = 100  # decoded between two ticks
SILENT_LEVEL = 127  # audio level of digital silence (RFC 6464)


class Decoder(Protocol):
    """Decodes one stream of Opus to 16 kHz mono s16le."""

    def decode(self, payload: bytes) -> bytes: ...

    def conceal(self, samples: int) -> bytes: ...


class LibopusDecoder:
    """libopus itself. Raises `RuntimeError` where there is none."""

    def __init__(self) -> None:
        self._state: int | None = None
        library = libopus()
        if library is None:
            raise RuntimeError("libopus was not found")
        self._library: Any = library
        error = ctypes.c_int()
        self._state = self._library.opus_decoder_create(SAMPLE_RATE, 1, ctypes.byref(error))
        if not self._state:
            raise RuntimeError(f"libopus gave no decoder ({error.value})")
        self._buffer = ctypes.create_string_buffer(MAX_PACKET_SAMPLES * SAMPLE_BYTES)

    def decode(self, payload: bytes) -> bytes:
        """Return the packet's sound; nothing for a packet that is not Opus."""
        return self._run(payload, len(payload), MAX_PACKET_SAMPLES)

    def conceal(self, samples: int) -> bytes:
        """Return sound in place of lost packets."""
        return self._run(None, 0, min(samples, MAX_PACKET_SAMPLES))

    def _run(self, payload: bytes | None, size: int, samples: int) -> bytes:
        decoded = self._library.opus_decode(self._state, payload, size, self._buffer, samples, 0)
        return ctypes.string_at(self._buffer, decoded * SAMPLE_BYTES) if decoded > 0 else b""

    def __del__(self) -> None:
        if self._state:
            self._library.opus_decoder_destroy(self._state)
            self._state = None


class AvDecoder:
    """PyAV's decoder and resampler: four times the work."""

    def __init__(self) -> None:
        self._codec: Any = av.CodecContext.create("opus", "r")
        self._codec.sample_rate = 48_000
        self._codec.layout = "mono"
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)

    def decode(self, payload: bytes) -> bytes:
        try:
            frames = self._codec.decode(av.Packet(payload))
        except av.FFmpegError:
            return b""
        sounds = [sound for frame in frames for sound in self._resampler.resample(frame)]
        return b"".join(bytes(sound.planes[0])[: sound.samples * SAMPLE_BYTES] for sound in sounds)

    def conceal(self, samples: int) -> bytes:
        return bytes(samples * SAMPLE_BYTES)


def decoder() -> Decoder:
    return LibopusDecoder() if libopus() is not None else AvDecoder()


class Microphone:
    """Turns the packets of one stream into steady sound.

    `deliver` is called with s16le at 16 kHz mono, on every `tick` that brought something. `now` is
    a monotonic clock in seconds; `level_id` the id of the audio level extension, or 0.
    """

    def __init__(
        self, payload_type: int, level_id: int, deliver: Callable[[bytes], None], now: Callable[[], float]
    ) -> None:
        self.ssrc = 0
        self.highest_sequence = 0
        self.received = 0
        self.lost = 0
        self._payload_type = payload_type
        self._level_id = level_id
        self._deliver = deliver
        self._now = now
        self._decoder: Decoder | None = None
        self._pending = bytearray()
        self._expected: int | None = None  # RTP time after the last packet
        self._sequence = 0
        self._arrived = 0.0
        self._filled = 0  # samples of silence delivered since the last packet
        self._begun = 0.0  # when the first packet came
        self._taken = 0  # samples since then, delivered or pending
        self._packets = 0  # since the last tick
        self._reported_lost = 0
        self._reported_received = 0

    def packet(self, packet: bytes) -> None:
        """Take one decrypted RTP packet; anything that is not ours or malformed is dropped."""
        if len(packet) < 13 or packet[0] >> 6 != 2 or packet[1] & 0x7F != self._payload_type:
            return
        start = _payload_start(packet)
        end = len(packet) - (packet[-1] if packet[0] & 0x20 else 0)
        if start >= end or not self._has_room():
            return
        sequence = int.from_bytes(packet[2:4], "big")
        timestamp = int.from_bytes(packet[4:8], "big")
        self.ssrc = int.from_bytes(packet[8:12], "big")
        if not self._bridge(sequence, timestamp):
            return
        silent = self._level_id and _level(packet, self._level_id) == SILENT_LEVEL
        sound = bytes(PACKET_SAMPLES * SAMPLE_BYTES) if silent else self._decode(packet[start:end])
        self._took(sequence, timestamp, sound)

    def _decode(self, payload: bytes) -> bytes:
        if self._decoder is None:
            self._decoder = decoder()
        return self._decoder.decode(payload)

    def _has_room(self) -> bool:
        """Whether one more packet may be decoded now; one that may not counts as lost later."""
        if self._expected is None:
            self._begun = self._now()
        self._packets += 1
        return self._packets <= MAX_PACKETS and self._room() > 0

    def _room(self) -> int:
        """How many samples may be added: time passed, and a little more, less what was taken."""
        return int((self._now() - self._begun) * SAMPLE_RATE) + AHEAD_SAMPLES - self._taken

    def _add(self, sound: bytes) -> None:
        sound = sound[: max(0, self._room()) * SAMPLE_BYTES]
        self._taken += len(sound) // SAMPLE_BYTES
        self._pending += sound

    def _took(self, sequence: int, timestamp: int, sound: bytes) -> None:
        self._add(sound)
        self._sequence = sequence
        self._expected = timestamp + len(sound) // SAMPLE_BYTES * RTP_TICKS_PER_SAMPLE & 0xFFFFFFFF
        self._arrived = self._now()
        self._filled = 0
        self.received += 1
        self.highest_sequence = (self.highest_sequence & ~0xFFFF) + sequence
        if len(self._pending) >= MAX_PENDING:
            self.flush()

    def _bridge(self, sequence: int, timestamp: int) -> bool:
        """Fill the time between the last packet and this one; False for one that is late."""
        if self._expected is None:
            return True
        gap = _signed(timestamp - self._expected, 32)
        if abs(gap) > RESTART_TICKS:
            return True  # another stream
        missed = _signed(sequence - self._sequence, 16) - 1
        if missed < 0:
            return False
        self.lost += missed
        if sequence < self._sequence:
            self.highest_sequence += 0x10000
        samples = min(gap // RTP_TICKS_PER_SAMPLE - self._filled, MAX_GAP_SAMPLES)
        if samples > 0:
            if missed > 0 and samples <= MAX_CONCEALED and self._decoder is not None:
                self._add(self._decoder.conceal(samples))
            else:
                self._add(bytes(samples * SAMPLE_BYTES))
        return True

    def tick(self) -> None:
        """Deliver what came since the last tick; call it for each frame that is sent."""
        self._packets = 0
        if self._expected is not None:
            quiet = self._now() - self._arrived
            if quiet > PAUSE_SECONDS:
                samples = min(int(quiet * SAMPLE_RATE) - self._filled, MAX_GAP_SAMPLES)
                if samples > 0:
                    self._add(bytes(samples * SAMPLE_BYTES))
                    self._filled += samples
        self.flush()

    def report_block(self, last_report: int, delay: int) -> ReceiverBlock:
        """What we tell the client about its stream."""
        lost, self._reported_lost = self.lost - self._reported_lost, self.lost
        received, self._reported_received = self.received - self._reported_received, self.received
        fraction = lost * 256 // (lost + received) if lost > 0 else 0
        return ReceiverBlock(
            self.ssrc, min(fraction, 255), self.lost, self.highest_sequence, 0, last_report, delay
        )

    def flush(self) -> None:
        if self._pending:
            sound = bytes(self._pending)
            self._pending.clear()
            self._deliver(sound)


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def _payload_start(packet: bytes) -> int:
    start = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    return start


def _level(packet: bytes, wanted: int) -> int | None:
    """The audio level in a one-byte header extension: 0 loudest, 127 digital silence."""
    at = 12 + 4 * (packet[0] & 0x0F)
    if not packet[0] & 0x10 or packet[at : at + 2] != b"\xbe\xde":
        return None
    end = at + 4 + 4 * int.from_bytes(packet[at + 2 : at + 4], "big")
    at += 4
    while at + 1 < end:
        number, size = packet[at] >> 4, (packet[at] & 0x0F) + 1
        if number == wanted:
            return packet[at + 1] & 0x7F
        at += 1 if packet[at] == 0 else 1 + size
    return None
