"""How log lines are written: for people, or as JSON for programs, and without anything that was spoken.

Used by every process, the speech sidecar too, so it knows nothing of the service. A record may carry
`context` (ids of what it is about) and `facts` (figures).

Messages of ours name ids and codes. What others put into theirs is not ours to promise, so unless spoken text
may be told (`discreet=False`), the words of exceptions that may quote what they were given are left out:
their type and where they came from stay.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

_log = logging.getLogger(__name__)

OWN = ("generation", "project", "rtc", "sessions", "storage", "workers")
# They say where something is, or how a program is wrong, and never quote the data it works on.
_PLAIN: tuple[type[BaseException], ...] = (
    ArithmeticError,
    AttributeError,
    ImportError,
    MemoryError,
    NameError,
    OSError,
    TypeError,
)
# Ours, or of a connection: addresses, states and codes.
_TRUSTED = (*OWN, "amqp", "botocore", "celery", "httpcore", "httpx", "kombu", "redis", "urllib3")
# Native libraries raise RuntimeError for everything, so it counts who did. Torch knows shapes and devices
# alone.
_STATES = frozenset({*_TRUSTED, "torch", *sys.stdlib_module_names})
# A database quotes the row that it refuses in the lines behind the first, and in that one what it cannot
# read; SQLite's full text search takes a word for the name of a column, and does so without marks.
_DATABASES = ("django.db", "psycopg", "sqlite3")
_QUOTED = re.compile(r"([\"'`]).*\1|\bnear .*")
# asyncio tells a callback that fails with what it was given, such as a task with its result.
_CALLED = re.compile(r"\(.*\)")
_QUOTING = ("no such column", "fts5")
MOST_CHARACTERS = 16_000
"""Of an exception; a loop of causes has no end otherwise. What is left out lies in the middle: the last line
is the error itself."""


class Formatter(logging.Formatter):
    """What both ways of writing share."""

    def __init__(self, *, discreet: bool = True, process: str = "") -> None:
        super().__init__()
        self._discreet, self._name = discreet, process

    @property
    def process(self) -> str:
        """Who writes; asked each time, since a worker's children are made by forking."""
        return f"{self._name}:{os.getpid()}" if self._name else str(os.getpid())

    def message(self, record: logging.LogRecord) -> str:
        return _discreet(record) if self._discreet else record.getMessage()

    def exception(self, record: logging.LogRecord) -> str:
        """The exception of a record with where it came from, or nothing."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return ""
        return _shortened("".join(_told(error, discreet=self._discreet, seen=set())).rstrip("\n"))


class LineFormatter(Formatter):
    """A line for people: moment, level, logger, ids in brackets, message, figures; then the exception."""

    def format(self, record: logging.LogRecord) -> str:
        known = _pairs(getattr(record, "context", {})) or "-"
        parts = [_moment(record), record.levelname, record.name, f"[{known}]", self.message(record)]
        if figures := _pairs(getattr(record, "facts", {})):
            parts.append(figures)
        exception = self.exception(record)
        return " ".join(parts) + (f"\n{exception}" if exception else "")


class JsonFormatter(Formatter):
    """A JSON object on a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "ts": _moment(record),
            "level": record.levelname,
            "logger": record.name,
            "message": self.message(record),
            **getattr(record, "context", {}),
            "process": self.process,
        }
        told = {**getattr(record, "facts", {}), **told}
        if exception := self.exception(record):
            told["exception"] = exception
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"), default=_unknown)


def configure(level: str, *, form: str, discreet: bool, process: str) -> None:
    """Write the logs of a process that has no Django."""
    catch()
    handler = logging.StreamHandler()
    made = JsonFormatter if form == "json" else LineFormatter
    handler.setFormatter(made(discreet=discreet, process=process))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def catch() -> None:
    """Have exceptions that nobody caught logged like all others, instead of printed with all their words."""

    def broke(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            _log.critical("This process ends", exc_info=(kind, error, trace))

    def thread_broke(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None and not issubclass(told.exc_type, SystemExit):
            error = (told.exc_type, told.exc_value, told.exc_traceback)
            _log.critical("The thread %s ends", told.thread and told.thread.name, exc_info=error)

    sys.excepthook, threading.excepthook = broke, thread_broke
    logging.captureWarnings(capture=True)


def _moment(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def _pairs(known: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_one_word(value)}" for name, value in known.items())


def _one_word(value: Any) -> str:
    told = str(value)
    return json.dumps(told, ensure_ascii=False) if set(told) & set(' "=\n\r') else told


def _unknown(value: object) -> str:
    return str(value)


def _discreet(record: logging.LogRecord) -> str:
    """The message, without the exceptions that libraries repeat in theirs."""
    if record.name == "asyncio":
        return _CALLED.sub("(...)", record.getMessage().partition("\n")[0])
    data = getattr(record, "data", None)
    if record.name.startswith("celery.") and isinstance(data, dict) and "exc" in data:
        return f"Task {data.get('name')}[{data.get('id')}] {data.get('description', 'is tried again')}"
    return _without_quotes(record)


def _without_quotes(record: logging.LogRecord) -> str:
    """The message, with exceptions among its arguments told as everywhere."""
    given = record.args
    if not isinstance(given, tuple) or not any(isinstance(one, BaseException) for one in given):
        return record.getMessage()
    return str(record.msg) % tuple(_argument(one) if isinstance(one, BaseException) else one for one in given)


def _argument(error: BaseException) -> object:
    return error if _is_plain(error) else f"{type(error).__name__}{_words(error, discreet=True)}"


def _told(error: BaseException, *, discreet: bool, indent: str = "", seen: set[int]) -> Iterator[str]:
    """An exception behind its causes and before its parts."""
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _told(before, discreet=discreet, indent=indent, seen=seen)
        yield f"{indent}then\n"
    yield f"{indent}Traceback (most recent call last):\n"
    for entry in traceback.format_tb(error.__traceback__):
        yield from (f"{indent}{line}\n" for line in entry.splitlines())
    yield f"{indent}{_named(error)}{_words(error, discreet=discreet)}\n"
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            if id(part) not in seen:
                yield from _told(part, discreet=discreet, indent=indent + "  | ", seen=seen)


def _shortened(told: str) -> str:
    if len(told) <= MOST_CHARACTERS:
        return told
    half = MOST_CHARACTERS // 2
    return f"{told[:half]}\n... {len(told) - 2 * half} characters left out ...\n{told[-half:]}"


def _named(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _words(error: BaseException, *, discreet: bool) -> str:
    said = str(error)
    if not said:
        return ""
    if not discreet or _is_plain(error):
        return f": {said}"
    if type(error).__module__.startswith(_DATABASES) and not said.startswith(_QUOTING):
        return f": {_QUOTED.sub('...', said.splitlines()[0])}"
    return f" ({len(said)} characters not told)"


def _is_plain(error: BaseException) -> bool:
    if type(error).__module__.partition(".")[0] in _TRUSTED:
        return True
    if isinstance(error, RuntimeError):
        return _raiser(error) in _STATES
    return isinstance(error, (*_PLAIN, BaseExceptionGroup))


def _raiser(error: BaseException) -> str:
    """The package that raised it; nothing where that is not known."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
