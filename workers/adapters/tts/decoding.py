"""The body of an answer to sound, whatever way it was cut on the wire: raw samples, WAV, or compressed."""

import struct
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from workers.adapters.answers import truncated
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import EvenPcm, PcmChunk, SpeechEvent

MAX_HEADER_BYTES = 64 * 1024
RATES = range(8000, 192_001)
WAV = frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"})
PCM = frozenset({"audio/pcm", "audio/l16", "audio/raw", "audio/x-raw"})
COMPRESSED = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/aac": "aac",
    "audio/aacp": "aac",
    "audio/x-aac": "aac",
    "audio/ogg": "opus",
    "audio/opus": "opus",
}
UNSAID = frozenset({"", "application/octet-stream", "binary/octet-stream"})
"""Types of servers that do not say what they send: it is what was asked for."""
_UNKNOWN_LENGTHS = frozenset({0, 0x7FFFFFFF, 0xFFFFFFFF})
_STREAMED_FROM = 0x7FFF0000
_INTEGERS, _FLOATS, _EXTENSIBLE = 1, 3, 0xFFFE


class Decoder(Protocol):
    def feed(self, data: bytes) -> Sequence[SpeechEvent]:
        """What sounds by now."""
        ...

    def finish(self) -> Sequence[SpeechEvent]:
        """What was kept back; raises `AdapterError` when the answer ended too early."""
        ...


def decoder_for(kind: str, asked: str, sample_rate: int, provider: str) -> Decoder:
    """The decoder of a media type, or of the format that was asked for where the answer does not say.

    `sample_rate` is that of raw samples. Raises `AdapterError` for what is no sound, such as a page.
    """
    if kind in UNSAID:
        kind = {"wav": "audio/wav", "mp3": "audio/mpeg", "aac": "audio/aac", "opus": "audio/ogg"}.get(
            asked, "audio/pcm"
        )
    if kind in PCM:
        return PcmDecoder(sample_rate, provider)
    if kind in WAV:
        return WavDecoder(provider)
    if kind in COMPRESSED:
        from workers.adapters.tts.compressed import CompressedDecoder  # noqa: PLC0415 - loads FFmpeg

        return CompressedDecoder(COMPRESSED[kind], provider)  # type: ignore[arg-type]  # its kinds, from the table
    raise AdapterError("The speech provider sent no sound.", provider=provider, retryable=False)


class PcmDecoder:
    """Raw samples: all there is to do is to keep them whole."""

    def __init__(self, sample_rate: int, provider: str) -> None:
        self._pcm = EvenPcm(sample_rate)
        self._provider = provider
        self.feed: Callable[[bytes], list[PcmChunk]] = self._pcm.feed

    def finish(self) -> list[SpeechEvent]:
        if self._pcm.odd:
            raise truncated(self._provider)
        return []


class WavDecoder:
    """A WAV file as it arrives: integers of 16, 24 or 32 bits or floats, channels mixed evenly.

    Servers that stream write lengths that mean nothing (0, the largest); the samples then go on to
    the end of the body.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._head = b""
        self._begun = False
        self._left: int | None = None
        self._frame_bytes = 0
        self._convert: Callable[[bytes], bytes] = bytes
        self._sample_rate = 0
        self._partial = b""

    def feed(self, data: bytes) -> list[PcmChunk]:
        if self._begun:
            return self._sound(data)
        self._head += data
        start = self._parse(self._head)
        if start is None:
            if len(self._head) > MAX_HEADER_BYTES:
                raise self._broken()
            return []
        rest, self._head, self._begun = self._head[start:], b"", True
        return self._sound(rest)

    def finish(self) -> list[SpeechEvent]:
        if not self._begun or self._left or self._partial:
            raise truncated(self._provider)
        return []

    def _sound(self, data: bytes) -> list[PcmChunk]:
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        joined = self._partial + data
        whole = len(joined) - len(joined) % self._frame_bytes
        self._partial = joined[whole:]
        return [PcmChunk(self._convert(joined[:whole]), self._sample_rate)] if whole else []

    def _parse(self, head: bytes) -> int | None:
        """Where the samples start, or None while more of the header is missing."""
        if len(head) < 12:
            return None
        if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
            raise self._broken()
        position = 12
        while len(head) >= position + 8:
            name = head[position : position + 4]
            length = int.from_bytes(head[position + 4 : position + 8], "little")
            if name == b"data":
                self._left = None if length in _UNKNOWN_LENGTHS or length >= _STREAMED_FROM else length
                return self._begin(position + 8)
            if len(head) < position + 8 + length + length % 2:
                return None
            if name == b"fmt ":
                self._format(head[position + 8 : position + 8 + length])
            position += 8 + length + length % 2
        return None

    def _format(self, chunk: bytes) -> None:
        if len(chunk) < 16:
            raise self._broken()
        kind, channels, sample_rate, _, _, bits = struct.unpack("<HHIIHH", chunk[:16])
        if kind == _EXTENSIBLE and len(chunk) >= 26:
            kind = int.from_bytes(chunk[24:26], "little")
        known = (kind == _INTEGERS and bits in (16, 24, 32)) or (kind == _FLOATS and bits == 32)
        if not known or channels not in (1, 2) or sample_rate not in RATES:
            raise self._broken()
        self._sample_rate, self._frame_bytes = sample_rate, channels * bits // 8
        if (kind, channels, bits) != (_INTEGERS, 1, 16):
            self._convert = lambda data: _mono16(data, channels, bits, floats=kind == _FLOATS)

    def _begin(self, start: int) -> int:
        if not self._sample_rate:
            raise self._broken()
        return start

    def _broken(self) -> AdapterError:
        return AdapterError(
            "The speech provider's WAV cannot be read.", provider=self._provider, retryable=False
        )


def _mono16(data: bytes, channels: int, bits: int, *, floats: bool) -> bytes:
    """Whole frames of any of the known kinds as mono s16le."""
    if floats:
        values = np.frombuffer(data, "<f4").astype(np.float64) * 32768
    elif bits == 24:
        octets = np.frombuffer(data, np.uint8).reshape(-1, 3)
        values = (octets[:, 2].astype(np.int8).astype(np.float64) * 65536 + octets[:, 1] * 256.0) / 256
    else:
        values = np.frombuffer(data, f"<i{bits // 8}").astype(np.float64) / (1 << bits - 16)
    mixed = values.reshape(-1, channels).mean(axis=1)
    pcm: bytes = np.clip(np.rint(np.nan_to_num(mixed)), -32768, 32767).astype("<i2").tobytes()
    return pcm
