"""Log lines that say which request they belong to. Loaded before Django is ready: no imports from it."""

import logging
from contextvars import ContextVar

current_request: ContextVar[str] = ContextVar("current_request", default="-")


class RequestIdFilter(logging.Filter):
    """Adds `request_id` to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request.get()
        return True
