"""What a process is at work on: the ids that log lines and traces carry.

They live in context variables, so each asyncio task and each request has its own; a task begins with those of
whoever started it. Threads of a pool and tasks of workers are told (`carried`, `project.carrying`). Loaded
before Django is ready: no imports from it.
"""

import contextvars
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

Id = str | int
P = ParamSpec("P")
R = TypeVar("R")

_ids: contextvars.ContextVar[Mapping[str, Id]] = contextvars.ContextVar("ids")
_NONE: Mapping[str, Id] = {}


def ids() -> Mapping[str, Id]:
    """What is known here: `request_id`, `session`, `turn`, `clip`, `fragment`, `task`..., as far as it is."""
    return _ids.get(_NONE)


def note(**known: Id) -> None:
    """Have these ids told from here on, until the task, request or thread of this context ends."""
    _ids.set({**ids(), **known})


@contextmanager
def about(**known: Id) -> Iterator[None]:
    """Have these ids told inside the block."""
    token = _ids.set({**ids(), **known})
    try:
        yield
    finally:
        _ids.reset(token)


@contextmanager
def only(**known: Id) -> Iterator[None]:
    """Have these ids and no others told inside the block."""
    token = _ids.set(known)
    try:
        yield
    finally:
        _ids.reset(token)


def of(**known: Id) -> contextvars.Context:
    """Return the context of whoever calls with these ids beside its own, for a task that is about them."""
    made = contextvars.copy_context()
    made.run(note, **known)
    return made


def blank() -> contextvars.Context:
    """Return a context that knows nothing: for what outlives the session or request it was begun in."""
    return contextvars.Context()


def carried(work: Callable[P, R]) -> Callable[P, R]:
    """Return `work` as it would run here, for a thread that knows nothing. It runs once at a time."""
    here = contextvars.copy_context()

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return here.run(work, *args, **kwargs)

    return run


def facts(**told: Any) -> dict[str, Any]:
    """Return figures for the `extra` of a log call; None is left out."""
    return {"facts": {name: value for name, value in told.items() if value is not None}}
