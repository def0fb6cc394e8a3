"""Sound of a clip to AAC: one encoder from the first sample to the last, so there is no seam."""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from workers.rendering.boxes import MalformedMedia, need
from workers.rendering.movie import AAC_SAMPLES, FILE_TYPE, SOUND_RATE, Track, aac_entry, movie

BIT_RATE = 160_000
# At the same size this search keeps sound nearer to the source than the default one, and takes
# less than half its time (docs/benchmarks/encode.md).
CODER = {"aac_coder": "fast", "aac_pns": "0"}
PRIMING = AAC_SAMPLES  # silence that FFmpeg's encoder puts before the first sample


class AacCodec:
    """AAC-LC packets from 48 kHz s16le sound, without a file around them.

    The sound is mono; `channels=2` puts it on both sides, for players that play mono on one ear.
    With `sides=2` it has two channels of its own, interleaved: left, right.
    """

    def __init__(self, *, channels: int = 1, sides: int = 1, bit_rate: int = BIT_RATE) -> None:
        if channels not in (1, 2) or sides not in (1, channels):
            raise ValueError(f"{channels} channels from {sides}: mono, the same twice, or two are made")
        codec = av.CodecContext.create("aac", "w")
        assert isinstance(codec, av.AudioCodecContext)  # noqa: S101 - narrows the type for the checker
        codec.sample_rate, codec.format, codec.bit_rate = SOUND_RATE, "fltp", bit_rate
        codec.layout = "mono" if channels == 1 else "stereo"
        codec.options = dict(CODER)
        codec.open()
        self._codec, self.channels, self.bit_rate = codec, channels, bit_rate
        self._sides, self._odd = sides, b""
        self._pending: NDArray[np.float32] = np.empty((sides, 0), np.float32)
        self.pushed = 0

    @property
    def entry(self) -> bytes:
        """The `mp4a` sample entry of these packets."""
        return aac_entry(self._codec.extradata or b"", self.channels, self.bit_rate)

    def push(self, pcm: bytes) -> list[bytes]:
        """Take sound, however it is cut, and return the packets that became ready."""
        pcm = self._odd + pcm
        whole = len(pcm) // (2 * self._sides) * 2 * self._sides
        self._odd = pcm[whole:]
        sound = np.frombuffer(pcm[:whole], "<i2").reshape(-1, self._sides).T.astype(np.float32)
        self.pushed += sound.shape[1]
        sound = np.concatenate((self._pending, sound * np.float32(1 / 32768)), axis=1)
        ready = sound.shape[1] // AAC_SAMPLES * AAC_SAMPLES
        self._pending = sound[:, ready:]
        return self._encode(sound[:, :ready])

    def flush(self) -> list[bytes]:
        """End the sound and return the last packets."""
        last = self._encode(self._pending)
        self._pending = self._pending[:, :0]
        return last + [bytes(packet) for packet in self._codec.encode(None)]

    def _encode(self, sound: NDArray[np.float32]) -> list[bytes]:
        packets: list[bytes] = []
        for start in range(0, sound.shape[1], AAC_SAMPLES):
            part = sound[:, start : start + AAC_SAMPLES]
            part = np.tile(part, (self.channels // self._sides, 1))
            frame = AudioFrame.from_ndarray(part, format="fltp", layout=self._codec.layout.name)
            frame.sample_rate = SOUND_RATE
            packets += (bytes(packet) for packet in self._codec.encode(frame))
        return packets


class AacEncoder:
    """Writes sound (see `AacCodec`), as it is made, to an .m4a that `assemble` copies from.

    The edit list hides the priming, so a player starts at the first pushed sample and ends with
    the last one. The file appears under its name when `close` has finished it; leaving a `with`
    block by an exception removes what was written.
    """

    def __init__(self, path: Path, *, channels: int = 1, sides: int = 1, bit_rate: int = BIT_RATE) -> None:
        self._codec = AacCodec(channels=channels, sides=sides, bit_rate=bit_rate)
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._sizes = array("I")
        self._file = self._part.open("wb")
        self._file.write(FILE_TYPE + struct.pack(">I4sQ", 1, b"mdat", 0))

    def push(self, pcm: bytes) -> None:
        """Take 48 kHz s16le sound, cut anywhere."""
        self._write(self._codec.push(pcm))

    def close(self) -> int:
        """Finish the file and return its length in samples. Raises `ValueError` without sound."""
        if not self._codec.pushed:
            self.discard()
            raise ValueError("there is no sound to encode")
        self._write(self._codec.flush())
        end = self._file.tell()
        track = aac_track(self._codec.entry, self._sizes, PRIMING, self._codec.pushed)
        self._file.write(movie([track], len(FILE_TYPE) + 16))
        self._file.seek(len(FILE_TYPE))
        self._file.write(struct.pack(">I4sQ", 1, b"mdat", end - len(FILE_TYPE)))
        self._file.close()
        self._part.replace(self._path)
        return self._codec.pushed

    def discard(self) -> None:
        """Give up; no file is left behind."""
        self._file.close()
        with suppress(FileNotFoundError):
            self._part.unlink()

    def _write(self, packets: list[bytes]) -> None:
        for packet in packets:
            self._sizes.append(len(packet))
            self._file.write(packet)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file.closed:
            return
        if kind is None:
            self.close()
        else:
            self.discard()


def aac_track(entry: bytes, sizes: array[int], priming: int, samples: int) -> Track:
    """Describe packets that follow each other; `samples` of sound come after the priming."""
    track = Track("audio", entry, SOUND_RATE, sizes=sizes, edit=(priming, samples))
    whole, rest = divmod(priming + samples, AAC_SAMPLES)
    track.deltas = [(min(whole, len(sizes)), AAC_SAMPLES)]
    if rest and whole < len(sizes):
        track.deltas.append((1, rest))
    if (beyond := len(sizes) - whole - bool(rest)) > 0:
        track.deltas.append((beyond, 0))
    track.chunks = [(0, len(sizes))]
    return track


@dataclass(frozen=True, slots=True)
class AacFile:
    """The tables of a file that `AacEncoder` wrote; the packets stay on disk."""

    path: Path
    entry: bytes
    sizes: array[int]
    priming: int
    samples: int
    start: int

    def packets(self) -> Iterator[bytes]:
        """Read one packet after the other."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            for size in self.sizes:
                yield file.read(size)


def open_aac(path: Path) -> AacFile:
    """Read the tables of an .m4a. Raises `MalformedMedia` for one that `AacEncoder` did not write."""
    try:
        tables = _movie_of(path)
        table = need(tables, "trak/mdia/minf/stbl")
        stsz, stco = need(table, "stsz"), need(table, "stco")
        _, samples, priming = struct.unpack_from(">3I", need(tables, "trak/edts/elst"), 4)
        (count,) = struct.unpack_from(">I", stsz, 8)
        sizes = array("I", np.frombuffer(stsz[12 : 12 + 4 * count], ">u4").astype(np.uint32).tolist())
        chunks, start = struct.unpack_from(">II", stco, 4)
        entry = bytes(need(table, "stsd")[8:])
    except struct.error as error:
        raise MalformedMedia(f"{path.name} has cut tables") from error
    if chunks != 1 or entry[4:8] != b"mp4a":
        raise MalformedMedia(f"{path.name} is not sound that was prepared for assembly")
    return AacFile(path, entry, sizes, priming, samples, start)


def _movie_of(path: Path) -> bytes:
    """Read the `moov` of a file whose media comes first, without reading the media."""
    with path.open("rb") as file:
        while head := file.read(16):
            if len(head) < 8:
                break
            size, kind = struct.unpack_from(">I4s", head)
            if size == 1 and len(head) == 16:
                size = struct.unpack_from(">Q", head, 8)[0]
            file.seek(8 - len(head), os.SEEK_CUR)
            if size < 8:
                break
            if kind == b"moov":
                return file.read(size - 8)
            file.seek(size - 8, os.SEEK_CUR)
    raise MalformedMedia(f"{path.name} holds no sound that was prepared for assembly")
