"""Traces: which parts a clip or a turn went through, and for how long each had it.

Off unless `start` was called with somewhere to send spans to; then everything here is a few idle calls, and
OpenTelemetry is not even imported. No span holds spoken text: names, ids, counts and codes alone.

A clip has one trace, and a turn has one, however many processes work on it and however often: the ids of its
trace and of its root follow from its own id (`Plan`), so that nobody has to hand them on, a message that is
sent again by the reconciler belongs to it too, and every process decides alike whether it is sampled.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
from asyncio import CancelledError
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from project import context

Fact = str | int | float | bool
_log = logging.getLogger(__name__)


class Span:
    """One stretch of work. This one is kept by nobody: what there is while traces are off."""

    @property
    def traceparent(self) -> str:
        """How other processes are told about it (W3C); nothing where it is not kept."""
        return ""

    def set(self, **facts: Fact | None) -> None:
        """Note facts; None is left out."""

    def fail(self, code: str) -> None:
        """Note that the work failed: a code, never words."""

    def end(self, at: float | None = None) -> None:
        """End it, now or at a moment (Unix seconds). A second time does nothing."""

    def past(self, name: str, begun: float, ended: float, **facts: Fact | None) -> None:
        """Note a part of it that is over, by its moments (Unix seconds)."""


NOTHING = Span()


@dataclass(frozen=True, slots=True)
class Plan:
    """The ids of a trace and of its root, made from what it is about."""

    trace: int
    root: int

    @classmethod
    def of(cls, kind: str, name: str) -> Plan:
        """Return the ids of `("clip", "clip_...")` or `("turn", "ses_...:3")`."""
        digest = hashlib.sha256(f"{kind}:{name}".encode()).digest()
        return cls(int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1)


class Keeper(Protocol):
    """Keeps spans: `project.otel`."""

    def begin(self, name: str, facts: Mapping[str, Fact], *, at: float | None, plan: Plan | None) -> Span: ...
    def root(self, name: str, facts: Mapping[str, Fact], *, at: float | None, plan: Plan) -> Span: ...
    def current(self) -> Span: ...
    def using(self, span: Span) -> AbstractContextManager[None]: ...
    def within(self, plan: Plan) -> AbstractContextManager[None]: ...
    def following(self, traceparent: str) -> AbstractContextManager[None]: ...
    def trace_id(self) -> str: ...
    def stop(self) -> None: ...


_keeper: Keeper | None = None


def start(endpoint: str, **options: Any) -> None:
    """Keep spans from now on and send them to `endpoint`, the base address of an OTLP/HTTP collector.

    Nothing happens without one. See `project.otel.start` for the options.
    """
    global _keeper  # noqa: PLW0603 - one per process
    if not endpoint or _keeper is not None:
        return
    try:
        otel = importlib.import_module("project.otel")
    except ImportError as error:
        _log.warning("No traces are kept: %s. They come with the extra `otel`.", error)
        return
    _keeper = otel.start(endpoint, **options)


def stop() -> None:
    """Send what is left, for a moment, and keep nothing from now on."""
    global _keeper
    keeper, _keeper = _keeper, None
    if keeper is not None:
        keeper.stop()


def begin(name: str, *, at: float | None = None, plan: Plan | None = None, **facts: Fact | None) -> Span:
    """Begin a span below the current one, or below the root of `plan`; it is not the current one itself."""
    if _keeper is None:
        return NOTHING
    return _keeper.begin(name, _facts(facts), at=at, plan=plan)


def root(name: str, plan: Plan, *, at: float | None = None, **facts: Fact | None) -> Span:
    """Begin the root of `plan` itself, whose parts may have been told before."""
    if _keeper is None:
        return NOTHING
    return _keeper.root(name, _facts(facts), at=at, plan=plan)


@contextmanager
def span(
    name: str,
    *,
    plan: Plan | None = None,
    ordinary: tuple[type[BaseException], ...] = (),
    **facts: Fact | None,
) -> Iterator[Span]:
    """Have a span around the block, current inside it.

    What is raised leaves its code or type, not its words. What is `ordinary` is no failure.
    """
    if _keeper is None:
        yield NOTHING
        return
    made = _keeper.begin(name, _facts(facts), at=None, plan=plan)
    try:
        with _keeper.using(made):
            yield made
    except BaseException as error:
        if isinstance(error, (CancelledError, GeneratorExit, *ordinary)):
            made.set(cut=True)
        else:
            made.fail(code_of(error))
        raise
    finally:
        made.end()


@contextmanager
def using(made: Span) -> Iterator[None]:
    """Have `made` the current span inside the block; it goes on behind it."""
    if _keeper is None or made is NOTHING:
        yield
        return
    with _keeper.using(made):
        yield


@contextmanager
def within(plan: Plan) -> Iterator[None]:
    """Have the root of `plan` the current span inside the block, though it may be told later."""
    if _keeper is None:
        yield
        return
    with _keeper.within(plan):
        yield


@contextmanager
def following(traceparent: str) -> Iterator[None]:
    """Have a span of another process the current one inside the block; what is none is passed over."""
    if _keeper is None or not traceparent:
        yield
        return
    with _keeper.following(traceparent):
        yield


def current() -> Span:
    """The span that whoever calls is in."""
    return NOTHING if _keeper is None else _keeper.current()


def trace_id() -> str:
    """The trace that whoever calls is in, for log lines; nothing where it is not sampled."""
    return "" if _keeper is None else _keeper.trace_id()


class ContextFilter(logging.Filter):
    """Puts what is known where a record is made onto it, as `context`, with the trace it belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        trace = trace_id()
        record.context = {**context.ids(), "trace": trace} if trace else context.ids()
        return True


def clip(clip_id: str) -> Plan:
    return Plan.of("clip", clip_id)


def turn(session_id: str, number: int) -> Plan:
    return Plan.of("turn", f"{session_id}:{number}")


def code_of(error: BaseException) -> str:
    """What an error is called where its words may not be told."""
    return str(getattr(error, "code", "")) or type(error).__name__


def _facts(facts: Mapping[str, Fact | None]) -> dict[str, Fact]:
    known = {**context.ids(), **facts}
    return {f"parley.{name}": value for name, value in known.items() if value is not None}
