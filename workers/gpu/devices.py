"""Where networks run, as far as the host has to know: how much memory there is, and what its faults mean."""

from __future__ import annotations

import gc
from pathlib import Path
from pkgutil import resolve_name
from typing import Protocol

from workers.adapters.errors import AdapterError

CPU = "cpu"
SHARE = 0.8  # of what is free when a process begins: the rest is for pictures, and for who else is there
_MB = 1024 * 1024
_UNLIMITED = 1 << 50  # a control group without a limit says something larger


class Device(Protocol):
    """One device of this process."""

    name: str

    @property
    def title(self) -> str:
        """What a person calls it."""

    @property
    def total_mb(self) -> int: ...

    @property
    def free_mb(self) -> int:
        """What is not taken now, by whomever."""

    def tidy(self) -> None:
        """Give back what is kept for later."""


class Cpu:
    """The machine's own cores and memory."""

    name = CPU

    def __init__(self, meminfo: Path = Path("/proc/meminfo"), groups: Path = Path("/sys/fs/cgroup")) -> None:
        self._meminfo, self._groups = meminfo, groups

    @property
    def title(self) -> str:
        return "CPU"

    @property
    def total_mb(self) -> int:
        return min(self._told("MemTotal"), self._limit_mb() or self._told("MemTotal"))

    @property
    def free_mb(self) -> int:
        limit = self._limit_mb()
        free = self._told("MemAvailable")
        return free if limit is None else max(0, min(free, limit - self._used_mb()))

    def tidy(self) -> None:
        gc.collect()

    def _told(self, name: str) -> int:
        for line in self._meminfo.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) // 1024
        raise AdapterError(
            f"{self._meminfo} says no {name}", provider=CPU, retryable=False, code="device_missing"
        )

    def _limit_mb(self) -> int | None:
        """What a container allows; None where nothing does."""
        raw = _first(self._groups / "memory.max", self._groups / "memory/memory.limit_in_bytes")
        return int(raw) // _MB if raw.isdigit() and int(raw) < _UNLIMITED else None

    def _used_mb(self) -> int:
        raw = _first(self._groups / "memory.current", self._groups / "memory/memory.usage_in_bytes")
        return int(raw) // _MB if raw.isdigit() else 0


def open_device(name: str) -> Device:
    """Open a device: `cpu`, or `cuda:0`. Raises `AdapterError` (`device_missing`, `package_missing`)."""
    if name == CPU:
        return Cpu()
    try:
        made: Device = resolve_name("workers.gpu.cuda:Cuda")(name)
    except ModuleNotFoundError as error:
        raise AdapterError(
            f"{name} needs the package {error.name}.", provider=name, retryable=False, code="package_missing"
        ) from error
    return made


def use_cores(count: int) -> None:
    """How many cores networks on a CPU use, and the little that is left to do beside a GPU."""
    resolve_name("torch:set_num_threads")(count)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may succeed where this one failed."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in said or "can't allocate memory" in said or "CUBLAS_STATUS_ALLOC_FAILED" in said
    )


def is_fatal(error: BaseException) -> bool:
    """Whether the process has lost its device: everything that comes after fails as well."""
    said = str(error)
    return (
        isinstance(error, RuntimeError)
        and not is_out_of_memory(error)
        and ("CUDA error" in said or "CUDNN_STATUS_EXECUTION_FAILED" in said or "device-side assert" in said)
    )


def _first(*files: Path) -> str:
    for file in files:
        try:
            return file.read_text().strip()
        except OSError:
            continue
    return ""
