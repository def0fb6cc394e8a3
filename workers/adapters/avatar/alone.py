"""A host that shares nothing: for measurements and checks that draw with one model, in one thread.

Render workers have a host that batches, keeps to a memory budget and holds leases for the whole
service; this one loads a network when it is first run, keeps it, and lets everybody hold everything.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from workers.adapters.avatar.runtime import Array, Forward, Host, Lease, Network


@dataclass(slots=True)
class _Network(Network):
    load: Callable[[], Forward]
    forward: Forward | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, *batch: Array, live: bool = False) -> Array:
        with self.lock:
            if self.forward is None:
                self.forward = self.load()
            return self.forward(*batch)


@dataclass(frozen=True, slots=True)
class _Held(Lease):
    token: int = 1
    lost: bool = False
    wanted: bool = False

    def check(self) -> None:
        """It cannot be lost."""


class Alone(Host):
    def __init__(self, weights: Path = Path("models"), device: str = "cpu", *, half: bool = False) -> None:
        self.weights, self.device, self.half = weights, device, half
        self._networks: dict[str, _Network] = {}
        self._tokens = count(1)

    def network(
        self, name: str, load: Callable[[], Forward], *, memory_mb: int, max_batch: int = 1
    ) -> Network:
        return self._networks.setdefault(name, _Network(load))

    @contextmanager
    def lease(self, resource: str, *, live: bool, wait_seconds: float = 0.0) -> Iterator[Lease]:
        yield _Held(next(self._tokens))
