"""Sound to Opus packets: one encoder for each reply, so that its utterances join without a seam."""

from __future__ import annotations

import ctypes
from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from rtc.frames import SAMPLE_RATE, SAMPLES_PER_PACKET
from rtc.libopus import libopus

BIT_RATE = 40_000
COMPLEXITY = 2
DELAY_SAMPLES = 120  # the overlap: what a decoder plays lies this far behind the packet's start

_PACKET_BYTES = SAMPLES_PER_PACKET * 2
_MAX_PACKET = 1275  # bytes, by RFC 6716
# CELT alone: half the work of the speech modes at a better likeness, and its packets overlap by
# 2.5 ms and remember little else, so a stream can be cut and joined anywhere.
APPLICATION = "lowdelay"
_APPLICATIONS = {"voip": 2048, "audio": 2049, "lowdelay": 2051}
_SETTINGS = {"bit_rate": 4002, "variable": 4006, "complexity": 4010, "constrained": 4020}


class Codec(Protocol):
    """Encodes whole packets of 20 ms, one after the other."""

    def encode(self, sound: bytes) -> list[bytes]: ...


class LibopusCodec:
    """libopus itself. Raises `RuntimeError` where there is none."""

    def __init__(self, bit_rate: int, complexity: int) -> None:
        self._state: int | None = None
        library = libopus()
        if library is None:
            raise RuntimeError("libopus was not found")
        self._library: Any = library
        self._packet = ctypes.create_string_buffer(_MAX_PACKET)
        error = ctypes.c_int()
        self._state = library.opus_encoder_create(
            SAMPLE_RATE, 1, _APPLICATIONS[APPLICATION], ctypes.byref(error)
        )
        if not self._state:
            raise RuntimeError(f"libopus gave no encoder ({error.value})")
        wanted = {"bit_rate": bit_rate, "variable": 1, "constrained": 0, "complexity": complexity}
        for name, value in wanted.items():
            if library.opus_encoder_ctl(self._state, _SETTINGS[name], ctypes.c_int(value)):
                raise RuntimeError(f"libopus refuses {name} {value}")

    def encode(self, sound: bytes) -> list[bytes]:
        return [self._one(sound[at : at + _PACKET_BYTES]) for at in range(0, len(sound), _PACKET_BYTES)]

    def _one(self, sound: bytes) -> bytes:
        size = self._library.opus_encode(self._state, sound, SAMPLES_PER_PACKET, self._packet, _MAX_PACKET)
        if size < 0:
            raise RuntimeError(f"libopus gave no packet ({size})")
        return ctypes.string_at(self._packet, size)

    def __del__(self) -> None:
        if self._state:
            self._library.opus_encoder_destroy(self._state)
            self._state = None


class AvCodec:
    """PyAV's way to the same encoder: a quarter more work."""

    def __init__(self, bit_rate: int, complexity: int) -> None:
        codec = av.CodecContext.create("libopus", "w")
        assert isinstance(codec, av.AudioCodecContext)  # noqa: S101 - narrows the type for the checker
        codec.sample_rate, codec.format, codec.layout = SAMPLE_RATE, "s16", "mono"
        codec.bit_rate, codec.time_base = bit_rate, Fraction(1, SAMPLE_RATE)
        codec.options = {
            "application": APPLICATION,
            "frame_duration": "20",
            "compression_level": str(complexity),
        }
        codec.open()
        self._codec = codec
        self._samples = 0

    def encode(self, sound: bytes) -> list[bytes]:
        """All go in at once: FFmpeg cuts them, at two thirds of the cost."""
        samples: NDArray[np.int16] = np.frombuffer(sound, "<i2").reshape(1, -1)
        frame = AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, self._samples
        self._samples += samples.shape[1]
        return [bytes(packet) for packet in self._codec.encode(frame)]


def codec_for(bit_rate: int, complexity: int) -> Codec:
    """Return the cheapest encoder that this installation has."""
    return LibopusCodec(bit_rate, complexity) if libopus() else AvCodec(bit_rate, complexity)


class OpusEncoder:
    """Encodes 48 kHz mono s16le sound, cut anywhere, into packets of 20 ms.

    The first packet holds the first sample; what is heard lies 2.5 ms (`DELAY_SAMPLES`) behind the
    pictures, always. The stream joins on to `rtc.comfort.COMFORT`, which has to come before it.
    Not safe for two threads at once.
    """

    def __init__(self, bit_rate: int = BIT_RATE, *, complexity: int = COMPLEXITY) -> None:
        self._codec = codec_for(bit_rate, complexity)
        self._pending = b""
        # The receiver has the packet of these 20 ms already: it is the comfort sound.
        self._codec.encode(bytes(_PACKET_BYTES))

    def push(self, pcm: bytes) -> list[bytes]:
        """Return the packets that became whole. An odd byte waits for its other half."""
        self._pending += pcm
        whole = len(self._pending) // _PACKET_BYTES * _PACKET_BYTES
        sound, self._pending = self._pending[:whole], self._pending[whole:]
        return self._codec.encode(sound)

    def flush(self) -> list[bytes]:
        """Fill the last packet with silence and return it; none when nothing is left over."""
        if not self._pending:
            return []
        sound, self._pending = self._pending.ljust(_PACKET_BYTES, b"\0"), b""
        return self._codec.encode(sound)
