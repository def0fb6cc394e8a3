"""`plugin`: a model whose renderer an operator supplies, in a folder of its own.

`entry` names a callable, `module:attribute`, in that folder (`MODELS_DIR/plugins`); it is called as
every renderer of this product is made, with the model's `ModelConfig` and a `Runtime`, and returns a
`Renderer`. Its code runs with the rights of the render worker, so nobody but the operator may be able
to write there.
"""

import importlib
import logging
import sys
from pathlib import Path
from types import ModuleType

from workers.adapters.avatar.base import Renderer
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.errors import AdapterError

NEEDED = ("load", "open_stream", "extract_features", "infer", "compose_frame")
STATEFUL = ("reset", "close_stream")

_log = logging.getLogger(__name__)


def make(config: ModelConfig, runtime: Runtime) -> Renderer:
    """Raises `AdapterError` (`package_missing`) where the folder does not hold what `entry` names."""
    entry = str(config.options["entry"])
    name, _, attribute = entry.partition(":")
    if not name or not attribute:
        raise _fault(config, f"{entry!r} is no module:attribute")
    module = _module(config, Path(str(config.options["folder"])).resolve(), name)
    maker = getattr(module, attribute, None)
    if not callable(maker):
        raise _fault(config, f"{name} has no {attribute} that can be called")
    try:
        made: Renderer = maker(config, runtime)
    except AdapterError:
        raise
    except Exception as exc:  # as above
        _log.exception("The plug-in %s fails", entry)
        raise _fault(config, f"{entry} fails with {type(exc).__name__}; the worker's log says more") from exc
    needed = NEEDED if config.profile.stateless else NEEDED + STATEFUL
    if absent := [one for one in needed if not callable(getattr(made, one, None))]:
        raise _fault(config, f"what {entry} makes has no {', '.join(absent)}")
    made.profile = config.profile
    return made


def _module(config: ModelConfig, folder: Path, name: str) -> ModuleType:
    """Import a module of the folder; it may import its neighbours."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # at the end: it replaces nothing of ours
    try:
        module = importlib.import_module(name)
    except Exception as exc:  # it is code of somebody else: anything may happen
        # Customers may see the message: the folder and what went wrong there are for the log.
        _log.exception("The plug-in %s cannot be imported from %s", name, folder)
        why = f"{name} cannot be imported: {type(exc).__name__}; the worker's log says more"
        raise _fault(config, why) from exc
    if not Path(getattr(module, "__file__", None) or "/").resolve().is_relative_to(folder):
        raise _fault(config, f"{name} is a module of another place; rename it")
    return module


def _fault(config: ModelConfig, why: str) -> AdapterError:
    return AdapterError(
        f"The plug-in of {config.name} is not usable: {why}.",
        provider=config.id,
        retryable=False,
        code="package_missing",
    )
