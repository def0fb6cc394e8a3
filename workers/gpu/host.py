"""The networks of a render process: loaded when first run, within a budget, shared by its threads."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from pkgutil import resolve_name

from workers.adapters.avatar.runtime import Array, Forward, Lease, Network
from workers.adapters.errors import AdapterError
from workers.gpu.batcher import Batcher
from workers.gpu.devices import SHARE, Cpu, Device, is_out_of_memory

ROOM_SECONDS = 20.0
"""How long a network waits for those in use to make room."""

LeaseMaker = Callable[..., AbstractContextManager[Lease]]

_log = logging.getLogger(__name__)


class RenderHost:
    """A `Host`: one device, and a budget of `memory_mb` for its networks."""

    def __init__(
        self,
        device: Device | None = None,
        *,
        weights: Path,
        half: bool = False,
        memory_mb: int = 0,
        room_seconds: float = ROOM_SECONDS,
        leases: LeaseMaker | None = None,
    ) -> None:
        """`memory_mb` 0 is most of what is free now."""
        self._device = device or Cpu()
        self.device, self.half, self.weights = self._device.name, half, weights
        self.memory_mb = memory_mb or round(self._device.free_mb * SHARE)
        self.failure = ""
        self._room_seconds = room_seconds
        self._leases = leases
        self._networks: dict[str, _Network] = {}
        self._loaded: OrderedDict[str, _Network] = OrderedDict()  # the one that was run last is last
        self._changed = threading.Condition()
        self._loading = threading.Lock()

    def network(
        self, name: str, load: Callable[[], Forward], *, memory_mb: int, max_batch: int = 1
    ) -> Network:
        """Return the network of this name; see `Host.network`."""
        with self._changed:
            if name not in self._networks:
                self._networks[name] = _Network(self, name, load, memory_mb=memory_mb, max_batch=max_batch)
            return self._networks[name]

    def lease(self, resource: str, *, live: bool, wait_seconds: float = 0.0) -> AbstractContextManager[Lease]:
        """Hold a thing that only one may use at a time; see `Host.lease`."""
        made = self._leases or resolve_name("workers.leases:lease")
        held: AbstractContextManager[Lease] = made(resource, live=live, wait_seconds=wait_seconds)
        return held

    @property
    def title(self) -> str:
        """What a person calls the device."""
        return self._device.title

    @property
    def loaded(self) -> tuple[str, ...]:
        """The networks in memory, the least used one first."""
        with self._changed:
            return tuple(self._loaded)

    @property
    def used_mb(self) -> int:
        with self._changed:
            return self._used()

    @property
    def free_mb(self) -> int:
        """What another network could take: of the budget, and of the device."""
        return max(0, min(self.memory_mb - self.used_mb, self._device.free_mb))

    def close(self) -> None:
        """End the threads of all networks, once they have done what was asked for."""
        with self._changed:
            networks = list(self._networks.values())
        for network in networks:
            network.close()

    def use(self, network: _Network) -> Forward:
        """Return a network's function, loading it first where needed; it stays until `leave`."""
        with self._changed:
            network.users += 1
            if (ready := self._ready(network)) is not None:
                return ready
        try:
            with self._loading:
                with self._changed:
                    if (ready := self._ready(network)) is not None:
                        return ready
                    self._make_room(network)
                return self._load(network)
        except BaseException:
            self.leave(network)
            raise

    def leave(self, network: _Network) -> None:
        with self._changed:
            network.users -= 1
            self._changed.notify_all()

    def rescue(self) -> None:
        """Make room on the device: whatever is not in use goes."""
        with self._changed:
            for network in [one for one in self._loaded.values() if not one.users]:
                self._evict(network)
        self._device.tidy()

    def lost(self, error: Exception) -> None:
        """The device is of no use to this process any more."""
        self.failure = self.failure or f"{type(error).__name__}: {error}".splitlines()[0][:200]
        _log.critical("%s failed for good: %s", self.device, self.failure)

    def _ready(self, network: _Network) -> Forward | None:
        if network.forward is not None:
            self._loaded.move_to_end(network.name)
        return network.forward

    def _used(self) -> int:
        return sum(network.memory_mb for network in self._loaded.values())

    def _make_room(self, network: _Network) -> None:
        """Evict the least used until `network` fits; wait for one that is in use. Raises `AdapterError`."""
        if network.memory_mb > self.memory_mb:
            raise _too_little(network, f"it needs {network.memory_mb} MB of {self.memory_mb}")
        until = time.monotonic() + self._room_seconds
        while self._used() + network.memory_mb > self.memory_mb:
            idle = next((one for one in self._loaded.values() if not one.users), None)
            if idle is not None:
                self._evict(idle)
            elif not self._changed.wait(until - time.monotonic()):
                raise _too_little(network, "the others are all in use")

    def _evict(self, network: _Network) -> None:
        _log.info("%s makes room for others", network.name)
        del self._loaded[network.name]
        network.forward = None
        self._device.tidy()

    def _load(self, network: _Network) -> Forward:
        began = time.monotonic()
        made = self._tried(network)
        if made is None:
            self.rescue()
            made = self._tried(network)
        if made is None:
            raise _too_little(network, "the device is full")
        with self._changed:
            network.forward = made
            self._loaded[network.name] = network
        _log.info("%s is loaded after %.1f s", network.name, time.monotonic() - began)
        return made

    def _tried(self, network: _Network) -> Forward | None:
        """None for too little memory; by then nothing holds on to what was loaded in part."""
        try:
            return network.load()
        except Exception as error:
            if is_out_of_memory(error):
                return None
            raise


class _Network:
    """A `Network` of a `RenderHost`."""

    def __init__(
        self, host: RenderHost, name: str, load: Callable[[], Forward], *, memory_mb: int, max_batch: int
    ) -> None:
        self.name, self.load, self.memory_mb = name, load, memory_mb
        self.forward: Forward | None = None
        self.users = 0
        self._host = host
        self._batcher = Batcher(name, self._run, max_batch=max_batch, rescue=host.rescue, lost=host.lost)

    def run(self, *batch: Array, live: bool = False) -> Array:
        """Run a batch; see `Network.run`."""
        self._host.use(self)
        try:
            return self._batcher.run(*batch, live=live)
        finally:
            self._host.leave(self)

    def close(self) -> None:
        self._batcher.close()

    def _run(self, *batch: Array) -> Array:
        if self.forward is None:
            raise AssertionError("whoever asks holds it")
        return self.forward(*batch)


def _too_little(network: _Network, why: str) -> AdapterError:
    return AdapterError(
        f"There is too little memory for {network.name}: {why}.",
        provider=network.name,
        retryable=True,
        code="out_of_memory",
    )
