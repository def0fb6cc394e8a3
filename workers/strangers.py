"""What strangers do wrong is a line in the log, and no traceback: nobody here has to look into it.

Otherwise whoever finds a port fills the log, and hides in it what went wrong.
"""

import logging

# By name, so that nobody has to load what raises them.
FAULTS = {"aiohttp.http_exceptions.HttpProcessingError", "django.core.exceptions.SuspiciousOperation"}


class StrangersFilter(logging.Filter):
    """Takes the traceback from records of requests that were none."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if any(f"{kind.__module__}.{kind.__qualname__}" in FAULTS for kind in type(error).__mro__):
            record.exc_info = record.exc_text = None
        return True
