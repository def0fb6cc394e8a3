"""The page that Prometheus reads: this machine's processes, and the service as a whole."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from project.metrics import publishing
from project.metrics.registry import folder, registry

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
CACHE_SECONDS = 5.0

_log = logging.getLogger(__name__)

# What asks the broker or the database: figures of the whole service, the same whoever is asked.
SERVICE: list[Callable[[], Iterable[Metric]]] = []


def render(*, service: bool = True) -> bytes:
    """Write the page, with figures of the whole service if `service`. It fails for no part that is away.

    Raises OSError where the folder of figures cannot be read now.
    """
    publishing.publish()
    page = CollectorRegistry()
    page.register(_Figures())
    if service:
        page.register(_service)
    return generate_latest(page)


class _Figures(Collector):
    def collect(self) -> Iterable[Metric]:
        return registry.collect() if folder is None else folder.collect()

    def describe(self) -> Iterable[Metric]:
        return ()


class _Service(Collector):
    """Asked at most every `CACHE_SECONDS`, by one thread at a time. What fails is left out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: list[Metric] = []
        self._until = float("-inf")

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._found = list(self._ask())
                self._until = time.monotonic() + CACHE_SECONDS
            return self._found

    def describe(self) -> Iterable[Metric]:
        return ()

    def forget(self) -> None:
        """Ask again the next time."""
        self._until = float("-inf")

    def _ask(self) -> Iterator[Metric]:
        for source in SERVICE:
            try:
                yield from list(source())
            except Exception as error:  # noqa: BLE001 - whatever a driver raises: the page tells what is left
                _log.warning("Figures of the service cannot be told: %s: %s", type(error).__name__, error)


_service = _Service()
forget = _service.forget
