"""A Celery worker in a thread of a test, which leaves nothing behind."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery, _state
from celery.contrib.testing import worker


@contextmanager
def celery_worker(app: Celery, **options: Any) -> Iterator[None]:
    """Have `app` take messages; `options` are those of Celery's own `start_worker`.

    That one makes `app` the current one, sets the level and handlers of the root logger, and has processes
    that are started later do likewise: what the next test sends goes nowhere, and its log is not written.
    """
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    current, default = _state.get_current_app(), _state.default_app
    environment = dict(os.environ)
    try:
        with worker.start_worker(app, perform_ping_check=False, **options):
            yield
    finally:
        for name in os.environ.keys() - environment:
            del os.environ[name]
        os.environ.update(environment)
        root.setLevel(level)
        root.handlers[:] = handlers
        _state._set_current_app(current)
        _state.set_default_app(default)
