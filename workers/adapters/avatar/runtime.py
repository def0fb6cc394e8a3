"""What a renderer is given of the process it runs in: a device, networks, weights, exclusive rights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from workers.adapters.endpoint import Endpoint

Array = NDArray[Any]


class Forward(Protocol):
    """A loaded network: arrays that share their first dimension, the batch, to one array with it."""

    def __call__(self, *batch: Array) -> Array: ...


class Network(Protocol):
    """A network of this process, shared by its threads."""

    def run(self, *batch: Array, live: bool = False) -> Array:
        """Run a batch; what several threads ask at once goes through the network together.

        Raises `AdapterError` (`out_of_memory` where even a smaller batch did not fit).
        """


class Lease(Protocol):
    """An exclusive right, prolonged by itself until it is released."""

    @property
    def token(self) -> int:
        """Grows with every holder: whoever shows an older one is refused."""

    @property
    def lost(self) -> bool:
        """Whether somebody else may hold it by now."""

    @property
    def wanted(self) -> bool:
        """Whether somebody more urgent waits for it."""

    def check(self) -> None:
        """Raise `AdapterError` (`lease_lost`, retryable) if it was lost."""


class Host(Protocol):
    """One render process."""

    device: str
    """`cpu`, or `cuda:0`: a process sees one GPU."""
    half: bool
    """Whether networks compute in 16 bits."""
    weights: Path
    """The folder that holds the files of all models."""

    def network(
        self, name: str, load: Callable[[], Forward], *, memory_mb: int, max_batch: int = 1
    ) -> Network:
        """Return the network of this name, loaded when it is first run; the same one to every thread.

        The least used of the others make room for it. `max_batch` bounds what is run at once.
        """

    def lease(self, resource: str, *, live: bool, wait_seconds: float = 0.0) -> AbstractContextManager[Lease]:
        """Hold a thing that only one may use at a time, such as a server with one shared session.

        Raises `AdapterError` (`model_busy`, retryable) while another holds it.
        """


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a renderer is made with."""

    host: Host
    endpoint: Endpoint = field(default_factory=lambda: Endpoint(""))
