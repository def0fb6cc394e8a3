"""Ground rules of the test suite; its settings are in tests/settings.py."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import celery
import pytest


def pytest_configure() -> None:
    """Let what the tests start hear Ctrl-C: a shell that runs us in the background has us ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _process() -> dict[str, object]:
    """Whatever of this process a test may not leave changed: the next one would be another test for it."""
    root = logging.getLogger()
    return {
        "level of the log": (root.level, root.disabled, logging.root.manager.disable),
        "handlers of the log": [
            type(h) for h in root.handlers if not type(h).__module__.startswith("_pytest")
        ],
        "Celery application": celery.current_app.main,
        "environment of Celery's log": {k: v for k, v in os.environ.items() if "_LOG" in k},
        "folder": Path.cwd(),
        "Ctrl-C": signal.getsignal(signal.SIGINT),
        "SIGTERM": signal.getsignal(signal.SIGTERM),
    }


@pytest.fixture(autouse=True)
def _left_as_found() -> Iterator[None]:
    found = _process()
    yield
    left = _process()
    assert left == found, f"this test leaves another {[name for name in found if left[name] != found[name]]}"
