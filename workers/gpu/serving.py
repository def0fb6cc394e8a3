"""What a render worker can serve, and why it cannot serve the rest."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from workers.adapters.avatar import weights
from workers.adapters.avatar.base import Renderer, Warmable
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.errors import AdapterError
from workers.adapters.registry import RENDERERS
from workers.gpu import figures
from workers.gpu.host import RenderHost

AGAIN_SECONDS = 15.0
"""Between two tries of a model with a problem."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """A model as a worker offers it. Not `served`, it has a `problem`; served, it may have one for now."""

    model: str
    backend: str
    memory_mb: int
    served: bool = True
    problem: str = ""


def offer(config: ModelConfig, host: RenderHost) -> Offer:
    """What can be said of a model before anything is loaded."""
    problem = (
        config.missing
        or _adapter(config)
        or _packages(config)
        or _weights(config, host.weights)
        or _memory(config, host)
    )
    return Offer(config.id, config.backend, config.memory_mb, served=not problem, problem=problem)


def warmed(made: Offer, renderer: Callable[[str], Renderer]) -> Offer:
    """Load a model and try it. What another try may mend is served all the same."""
    if not made.served:
        return made
    try:
        _warm(renderer(made.model))
    except AdapterError as error:
        return replace(made, served=error.retryable, problem=f"{error} ({error.code})")
    except Exception as error:  # noqa: BLE001 - a network or a plug-in of somebody else fails in any way
        _log.exception("%s could not be loaded", made.model)
        return replace(made, served=False, problem=f"{type(error).__name__}: {error}".splitlines()[0][:200])
    return made


def told(made: Offer) -> None:
    """Have the heartbeat say it."""
    if made.problem:
        figures.failed(made.model, made.problem, down=True)
    else:
        figures.works(made.model)


class Keeper:
    """A thread that tries models with a problem again, and gives up when the device is lost."""

    def __init__(
        self,
        offers: Iterable[Offer],
        renderer: Callable[[str], Renderer],
        *,
        host: RenderHost,
        give_up: Callable[[str], None],
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self._offers = [made for made in offers if made.served]
        self._renderer, self._host, self._give_up = renderer, host, give_up
        self._again_seconds = again_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> bool:
        """Do one round; False once there is nothing left to keep."""
        if self._host.failure:
            self._give_up(self._host.failure)
            return False
        for made in self._offers:
            if figures.figure(made.model).problem:
                told(warmed(replace(made, problem=""), self._renderer))
        return True

    def _keep(self) -> None:
        while not self._over.wait(self._again_seconds) and self.look():
            pass


def table(offers: Iterable[Offer]) -> str:
    """Lines for people: what is served, and why not."""
    rows = [("model", "backend", "memory", "")]
    rows += [(o.model, o.backend, f"{o.memory_mb} MB", _verdict(o)) for o in offers]
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    )


def chosen(known: Mapping[str, ModelConfig], names: Iterable[str]) -> list[ModelConfig]:
    """The models of these names. `ValueError` names those that nobody knows."""
    wanted = list(dict.fromkeys(names))
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"There is no model {', '.join(unknown)}. There are: {', '.join(known)}")
    return [known[name] for name in wanted]


def _verdict(made: Offer) -> str:
    if not made.served:
        return f"not served: {made.problem}"
    return f"ready, but not now: {made.problem}" if made.problem else "ready"


def _warm(renderer: Renderer) -> None:
    if isinstance(renderer, Warmable):
        renderer.warm()


def _adapter(config: ModelConfig) -> str:
    return "" if config.adapter in RENDERERS else f"No adapter is called {config.adapter}."


def _packages(config: ModelConfig) -> str:
    missing = [name for name in config.needs if not _is_there(name)]
    return f"Packages are missing: {', '.join(missing)}." if missing else ""


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a package that a dotted name lies in
        return False


def _weights(config: ModelConfig, folder: Path) -> str:
    return weights.lacking(folder, config.weights)


def _memory(config: ModelConfig, host: RenderHost) -> str:
    if config.memory_mb <= host.memory_mb:
        return ""
    return f"It needs {config.memory_mb} MB, and there are {host.memory_mb}."
