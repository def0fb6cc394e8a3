"""Sound to Opus packets: one encoder for each reply, so that its utterances join without a seam."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from rtc.frames import SAMPLE_RATE, SAMPLES_PER_PACKET

BIT_RATE = 40_000
COMPLEXITY = 2
# CELT alone: half the work of the speech modes at a better likeness, and its packets overlap by
# 2.5 ms and remember little else, so a stream can be cut and joined anywhere.
APPLICATION = "lowdelay"
DELAY_SAMPLES = 120  # the overlap: what a decoder plays lies this far behind the packet's start

_PACKET_BYTES = SAMPLES_PER_PACKET * 2


class OpusEncoder:
    """Encodes 48 kHz mono s16le sound, cut anywhere, into packets of 20 ms.

    The first packet holds the first sample; what is heard lies 2.5 ms (`DELAY_SAMPLES`) behind the
    pictures, always. The stream joins on to `rtc.comfort.COMFORT`, which has to come before it.
    Not safe for two threads at once.
    """

    def __init__(self, bit_rate: int = BIT_RATE, *, complexity: int = COMPLEXITY) -> None:
        self._codec = _open(bit_rate, complexity)
        self._pending = b""
        self._samples = 0
        # The receiver has the packet of these 20 ms already: it is the comfort sound.
        self._encode(bytes(_PACKET_BYTES))

    def push(self, pcm: bytes) -> list[bytes]:
        """Return the packets that became whole. An odd byte waits for its other half."""
        self._pending += pcm
        whole = len(self._pending) // _PACKET_BYTES * _PACKET_BYTES
        sound, self._pending = self._pending[:whole], self._pending[whole:]
        return self._encode(sound)

    def flush(self) -> list[bytes]:
        """Fill the last packet with silence and return it; none when nothing is left over."""
        if not self._pending:
            return []
        sound, self._pending = self._pending.ljust(_PACKET_BYTES, b"\0"), b""
        return self._encode(sound)

    def _encode(self, sound: bytes) -> list[bytes]:
        """Encode whole packets. All go in at once: FFmpeg cuts them, at two thirds of the cost."""
        if not sound:
            return []
        samples: NDArray[np.int16] = np.frombuffer(sound, "<i2").reshape(1, -1)
        frame = AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, self._samples
        self._samples += samples.shape[1]
        return [bytes(packet) for packet in self._codec.encode(frame)]


def _open(bit_rate: int, complexity: int) -> av.AudioCodecContext:
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
    return codec
