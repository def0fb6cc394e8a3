"""A GPU. Loaded by name, and only where one was asked for."""

from __future__ import annotations

import gc
import re

import torch

from workers.adapters.errors import AdapterError

_MB = 1024 * 1024


class Cuda:
    """One GPU of this process; by then `CUDA_VISIBLE_DEVICES` names the only one it sees."""

    def __init__(self, name: str) -> None:
        """Raises `AdapterError` (`device_missing`)."""
        found = re.fullmatch(r"cuda:(\d+)", name)
        if found is None:
            raise self._missing(name, "is no device; use cpu, or cuda:0")
        if not torch.cuda.is_available():
            raise self._missing(name, "is not there: this torch sees no GPU")
        if int(found[1]) >= torch.cuda.device_count():
            raise self._missing(name, f"is not there: {torch.cuda.device_count()} GPUs are seen")
        self.name = name

    @property
    def title(self) -> str:
        return str(torch.cuda.get_device_name(self.name))

    @property
    def total_mb(self) -> int:
        return int(torch.cuda.mem_get_info(self.name)[1]) // _MB

    @property
    def free_mb(self) -> int:
        """What is free on the device, and what this process keeps of it without using it."""
        kept = torch.cuda.memory_reserved(self.name) - torch.cuda.memory_allocated(self.name)
        return (int(torch.cuda.mem_get_info(self.name)[0]) + kept) // _MB

    def tidy(self) -> None:
        gc.collect()
        torch.cuda.empty_cache()

    @staticmethod
    def _missing(name: str, why: str) -> AdapterError:
        return AdapterError(f"{name} {why}.", provider=name, retryable=False, code="device_missing")
