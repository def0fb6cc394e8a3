"""Files of figures that several processes of one machine share: each writes its own, anybody reads all.

The format is that of prometheus_client's multiprocess mode, so its reader is used as it is.
"""

import contextlib
import mmap
import os
import struct
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

FIRST_BYTES = {"counter": 128 * 1024, "histogram": 512 * 1024}
SMALL_BYTES = 64 * 1024
UNFINISHED = ".new"
_HEADER = struct.Struct("i")


class Pages(MmapedDict):
    """One file of one process.

    Its room is taken from the disk before it is written to: a page that a full disk cannot hold would
    end the process with SIGBUS. Where there is none, the figures stay in memory and nobody else sees them:
    then they are not `kept`.
    """

    def __init__(self, path: Path) -> None:
        half = path.with_suffix(UNFINISHED)  # nobody reads it half-made
        self.kept = True
        self._f = half.open("w+b")
        self._fname = str(path)
        self._capacity = FIRST_BYTES.get(path.name.partition("_")[0], SMALL_BYTES)
        self._m = self._mapped(self._capacity)
        self._positions: dict[str, int] = {}
        self._used = 8
        self._m[0:4] = _HEADER.pack(self._used)
        if half.stat().st_size:
            half.replace(path)
        else:
            half.unlink()  # there was no room for it

    def read(self, key: str) -> float:
        value, _ = self.read_value(key)  # type: ignore[no-untyped-call]
        return float(value)

    def write(self, key: str, value: float, timestamp: float = 0.0) -> None:
        self.write_value(key, value, timestamp)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        # As long as the parent's entry can get: length, key, padding, two numbers.
        needed = 4 + len(key.encode()) + 8 + 16
        if self._used + needed > self._capacity:
            before = self._m
            grown = self._mapped(2 * self._capacity)
            grown[: self._used] = before[: self._used]
            self._m, self._capacity = grown, 2 * self._capacity
            before.close()
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _mapped(self, size: int) -> mmap.mmap:
        try:
            _allocate(self._f.fileno(), size)
            return mmap.mmap(self._f.fileno(), size)
        except OSError:
            self.kept = False
            return mmap.mmap(-1, size)

    def close(self) -> None:
        with contextlib.suppress(BufferError):
            super().close()  # type: ignore[no-untyped-call]


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)
