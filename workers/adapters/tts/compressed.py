"""Compressed sound that arrives in any pieces, as even PCM.

Pieces are cut into frames first (`framing`), so the decoder never sees a seam: the samples are those of
decoding everything at once. An encoder begins with silence of its own; it is taken away, so that the
times a provider tells fit the sound.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray

from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import PcmChunk
from workers.adapters.tts.framing import Adts, Framer, Mp3, NotSound, Ogg

Kind = Literal["mp3", "aac", "opus"]

SLICE_BYTES = 4096
"""Decoded at one go: less than a millisecond of work at the rates of speech."""
_DECODERS = {"mp3": "mp3float", "aac": "aac", "opus": "libopus"}
_MP3_DECODER_DELAY = 529
_LAME_DELAY = 576
_AAC_DELAY = 1024


class CompressedDecoder:
    """Mono samples of one stream; rate and channels are the stream's own.

    `delay_samples` says how much of the beginning is the encoder's where the stream does not:
    by default what LAME and FFmpeg need. Raises `AdapterError` for what cannot be decoded.
    """

    def __init__(self, kind: Kind, provider: str, *, delay_samples: int | None = None) -> None:
        self.sample_rate = 0
        self._kind: Kind = kind
        self._provider = provider
        self._framer = _framer(kind)
        self._codec = av.CodecContext.create(_DECODERS[kind], "r")
        usual = {"mp3": _LAME_DELAY + _MP3_DECODER_DELAY, "aac": _AAC_DELAY, "opus": 0}[kind]
        self._skip = usual if delay_samples is None else delay_samples
        self._frames = 0
        self._heard = 0

    def feed(self, data: bytes) -> list[PcmChunk]:
        """What sounds by now: one chunk, or none."""
        try:
            return self._chunk(self._decode(self._framer.feed(data)))
        except (NotSound, av.FFmpegError) as exc:
            raise self._broken() from exc

    def finish(self) -> list[PcmChunk]:
        """What was kept back; raises `AdapterError` where nothing could be decoded."""
        try:
            sound = self._decode(self._framer.flush())
            sound += [_mono(frame) for frame in self._frames_of(None)]
        except av.FFmpegError as exc:
            raise self._broken() from exc
        if not self._frames:
            raise self._broken()
        return self._chunk(sound)

    def _decode(self, frames: list[bytes]) -> list[NDArray[np.float32]]:
        return [_mono(sound) for frame in frames if self._is_sound(frame) for sound in self._frames_of(frame)]

    def _frames_of(self, frame: bytes | None) -> list[Any]:
        if frame is None and not self._frames:
            return []
        decoded: list[Any] = self._codec.decode(None if frame is None else av.Packet(frame))  # type: ignore[attr-defined]
        for sound in decoded:
            if sound.sample_rate != (self.sample_rate or sound.sample_rate):
                raise NotSound
            self.sample_rate = sound.sample_rate
        self._frames += len(decoded)
        return decoded

    def _is_sound(self, frame: bytes) -> bool:
        """Whether a frame is to be heard; headers tell about those that are."""
        if self._kind == "opus":
            return self._opus_sound(frame)
        if self._kind == "mp3" and not self._frames and (delay := lame_delay(frame)) is not None:
            self._skip = delay + _MP3_DECODER_DELAY
            return False
        return True

    def _opus_sound(self, packet: bytes) -> bool:
        if packet[:8] == b"OpusHead":
            if len(packet) < 19 or packet[9] not in (1, 2):
                raise NotSound
            self._codec.extradata = packet  # the decoder takes away by itself what stands in it
            return False
        return packet[:8] != b"OpusTags"

    def _chunk(self, sound: list[NDArray[np.float32]]) -> list[PcmChunk]:
        if not sound:
            return []
        samples = np.concatenate(sound)
        gone = min(self._skip, len(samples))
        self._skip -= gone
        samples = samples[gone:]
        if not len(samples):
            return []
        pcm = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2")
        return [PcmChunk(pcm.tobytes(), self.sample_rate)]

    def _broken(self) -> AdapterError:
        return AdapterError(
            "The speech provider's sound cannot be decoded.", provider=self._provider, retryable=False
        )


async def decoded(decoder: CompressedDecoder, data: bytes) -> AsyncGenerator[PcmChunk, None]:
    """As `feed`, letting others run in between: a long answer may arrive at once."""
    for start in range(0, len(data), SLICE_BYTES):
        for chunk in decoder.feed(data[start : start + SLICE_BYTES]):
            yield chunk
        if start + SLICE_BYTES < len(data):
            await asyncio.sleep(0)


def lame_delay(frame: bytes) -> int | None:
    """Samples that the encoder put before the sound, from a first frame that is a header and no sound.

    None where the frame is sound. A header that does not tell (Xing's) counts as LAME's usual.
    """
    at = max(frame.find(b"Xing", 0, 64), frame.find(b"Info", 0, 64))
    if at < 0:
        return None
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    lame = at + 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    told = frame[lame + 21 : lame + 24]
    return told[0] << 4 | told[1] >> 4 if len(told) == 3 and any(told) else _LAME_DELAY


def _framer(kind: Kind) -> Framer:
    if kind == "opus":
        return Ogg()
    return Mp3() if kind == "mp3" else Adts()


def _mono(frame: Any) -> NDArray[np.float32]:
    """Samples of one frame, its channels mixed evenly, -1 to 1."""
    samples = frame.to_ndarray()
    if samples.dtype == np.int16:
        samples = samples.astype(np.float32) / np.float32(32768)
    channels = frame.layout.nb_channels
    if channels > 1:
        samples = samples if frame.format.is_planar else samples.reshape(-1, channels).T
        mixed: NDArray[np.float32] = samples.mean(axis=0, dtype=np.float32)
        return mixed
    flat: NDArray[np.float32] = samples.reshape(-1)
    return flat
