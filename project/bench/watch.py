"""Reads some figures again and again beside a measurement, from a thread of its own."""

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

Points = list[tuple[float, float]]


class Watch:
    """`points[name]` are (monotonic seconds, value); what could not be read is missing, and counted."""

    def __init__(self, readings: Mapping[str, Callable[[], float]], every: float) -> None:
        self._readings, self._every = dict(readings), every
        self.points: dict[str, Points] = {name: [] for name in readings}
        self.failed: dict[str, str] = {}  # the last reason, by name
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            self.look()

    def look(self) -> None:
        """Read everything once."""
        for name, reading in self._readings.items():
            try:
                value = reading()
            except Exception as error:  # noqa: BLE001 - a part may be away; the measurement goes on
                self.failed[name] = f"{type(error).__name__}: {error}"[:200]
                continue
            self.points[name].append((time.monotonic(), value))

    def since(self, name: str, began: float, zero: float) -> list[tuple[float, float]]:
        """Points of one figure from `began` on, in seconds after `zero`."""
        return [(round(at - zero, 2), value) for at, value in self.points.get(name, []) if at >= began]
