"""The host of this process. Whoever starts one for a GPU sets it before the first renderer is made."""

from __future__ import annotations

import threading
from pathlib import Path

from django.conf import settings

from workers.gpu.host import RenderHost

_lock = threading.Lock()
_host: RenderHost | None = None


def host() -> RenderHost:
    """Return this process's host; without one that was set, it is the CPU."""
    global _host  # noqa: PLW0603 - there is one for each process
    with _lock:
        if _host is None:
            _host = RenderHost(weights=Path(settings.MODEL_WEIGHTS_DIR))
        return _host


def set_host(made: RenderHost | None) -> None:
    """Say which host this process has; None forgets it."""
    global _host  # noqa: PLW0603
    with _lock:
        _host = made
