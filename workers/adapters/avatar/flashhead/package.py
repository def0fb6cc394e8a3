"""The official `flash_head` package, brought in as it wants to be.

Its module `flash_head.inference` opens `flash_head/configs/infer_params.yaml` by a relative path while it
is imported, so it works in one folder only. Changing the folder of a whole process would move it for
every thread; instead that module alone is given an `open` which looks beside the package.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from workers.adapters.avatar.remote.faults import fault

PACKAGE = "flash_head"
INFERENCE = "flash_head.inference"
_lock = threading.Lock()


def inference(repository: str) -> ModuleType:
    """Return `flash_head.inference`; `repository` is the folder that holds the package ("": installed).

    Raises `AdapterError` (`package_missing`).
    """
    with _lock:
        if INFERENCE not in sys.modules:
            _add_to_path(repository)
            _load(_home(repository))
        return sys.modules[INFERENCE]


def _add_to_path(repository: str) -> None:
    if not repository:
        return
    if not (Path(repository) / PACKAGE).is_dir():
        raise _missing("its folder holds no package flash_head")
    if repository not in sys.path:
        sys.path.append(repository)


def _home(repository: str) -> Path:
    """The folder below which the package's relative paths begin."""
    if repository:
        return Path(repository).resolve()
    found = importlib.util.find_spec(PACKAGE)
    places = list(found.submodule_search_locations or ()) if found else []
    if not places:
        raise _missing("it is not installed")
    return Path(places[0]).resolve().parent


def _load(home: Path) -> None:
    spec = importlib.util.find_spec(INFERENCE)
    if spec is None or spec.loader is None:
        raise _missing("it has no module inference")
    try:
        module = importlib.util.module_from_spec(spec)
        module.__dict__["open"] = _opener(home)
        sys.modules[INFERENCE] = module
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        sys.modules.pop(INFERENCE, None)
        what = f"it needs {error.name}" if isinstance(error, ImportError) and error.name else str(error)
        raise _missing(what) from error
    except BaseException:
        sys.modules.pop(INFERENCE, None)
        raise


def _opener(home: Path) -> Callable[..., Any]:
    """`open`, with relative paths that are not there taken from `home`."""

    def opened(file: Any, *rest: Any, **named: Any) -> Any:
        beside = home / file if isinstance(file, str) else file
        chosen = beside if isinstance(file, str) and not Path(file).is_absolute() else file
        return builtins.open(chosen, *rest, **named)  # noqa: PTH123 - it stands in for the function

    return opened


def _missing(why: str) -> Exception:
    return fault("package_missing", f"The package flash_head cannot be used: {why}.", "flashhead")
