"""Spans kept by OpenTelemetry and sent over OTLP/HTTP. Loaded only where traces are wanted.

The work never waits for the collector: spans go into a bounded queue, which a thread of its own empties, and
what does not fit or cannot be sent is dropped.
"""

from __future__ import annotations

import atexit
import contextvars
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from project.tracing import NOTHING, Fact, Plan, Span

SEND_SECONDS = 5.0
DELAY_MS = 2000
QUEUE = 4096
STOP_SECONDS = 1.0
QUIET_SECONDS = 60.0
"""So long nothing more is said of a collector that cannot be reached."""
_PATH = "/v1/traces"
_HEADER = "traceparent"

_given: contextvars.ContextVar[Plan | None] = contextvars.ContextVar("given", default=None)
_propagator = TraceContextTextMapPropagator()


class _Ids(IdGenerator):
    """Random ids, or those of the plan whose root begins."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_span_id(self) -> int:
        plan = _given.get()
        return self._random.generate_span_id() if plan is None else plan.root

    def generate_trace_id(self) -> int:
        plan = _given.get()
        return self._random.generate_trace_id() if plan is None else plan.trace

    def is_trace_id_random(self) -> bool:
        return True


class _Kept(Span):
    def __init__(self, span: trace.Span, tracer: trace.Tracer) -> None:
        self.span, self._tracer = span, tracer

    @property
    def traceparent(self) -> str:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(self.span))
        return carrier.get(_HEADER, "")

    def set(self, **facts: Fact | None) -> None:
        self.span.set_attributes(_named(facts))

    def fail(self, code: str) -> None:
        self.span.set_status(trace.StatusCode.ERROR, code)

    def end(self, at: float | None = None) -> None:
        if self.span.is_recording():
            self.span.end(_nanoseconds(at))

    def past(self, name: str, begun: float, ended: float, **facts: Fact | None) -> None:
        if not self.span.is_recording():
            return
        part = self._tracer.start_span(
            name,
            trace.set_span_in_context(self.span),
            attributes=_named(facts),
            start_time=_nanoseconds(begun),
        )
        part.end(_nanoseconds(max(begun, ended)))


class Keeper:
    """What `project.tracing` hands everything to while traces are on."""

    def __init__(self, provider: TracerProvider, sampler: TraceIdRatioBased) -> None:
        self._provider, self._sampler = provider, sampler
        self._tracer = provider.get_tracer("parley")

    def begin(self, name: str, facts: Mapping[str, Fact], *, at: float | None, plan: Plan | None) -> Span:
        within = None if plan is None else trace.set_span_in_context(self._planned(plan))
        return self._started(name, facts, at, within)

    def root(self, name: str, facts: Mapping[str, Fact], *, at: float | None, plan: Plan) -> Span:
        token = _given.set(plan)
        try:
            return self._started(name, facts, at, trace.set_span_in_context(trace.INVALID_SPAN))
        finally:
            _given.reset(token)

    def current(self) -> Span:
        span = trace.get_current_span()
        return _Kept(span, self._tracer) if span.get_span_context().is_valid else NOTHING

    @contextmanager
    def using(self, span: Span) -> Iterator[None]:
        if not isinstance(span, _Kept):
            yield
            return
        with trace.use_span(span.span, record_exception=False, set_status_on_exception=False):
            yield

    @contextmanager
    def within(self, plan: Plan) -> Iterator[None]:
        with trace.use_span(self._planned(plan), record_exception=False, set_status_on_exception=False):
            yield

    @contextmanager
    def following(self, traceparent: str) -> Iterator[None]:
        found = trace.get_current_span(_propagator.extract({_HEADER: traceparent}))
        with trace.use_span(found, record_exception=False, set_status_on_exception=False):
            yield

    def trace_id(self) -> str:
        found = trace.get_current_span().get_span_context()
        return trace.format_trace_id(found.trace_id) if found.trace_flags.sampled else ""

    def stop(self) -> None:
        """Send what is left, but not for longer than a moment: a collector that hangs keeps nobody alive."""
        atexit.unregister(self.stop)
        sending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        try:
            sending.start()
        except RuntimeError:  # too late for a new thread: later Pythons refuse one while they end
            return
        sending.join(STOP_SECONDS)

    def _planned(self, plan: Plan) -> trace.Span:
        """Stand in for a root that another process begins, or whose time has not come yet."""
        decision = self._sampler.should_sample(None, plan.trace, "").decision
        wanted = decision is Decision.RECORD_AND_SAMPLE
        flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if wanted else trace.TraceFlags.DEFAULT)
        return trace.NonRecordingSpan(
            trace.SpanContext(plan.trace, plan.root, is_remote=True, trace_flags=flags)
        )

    def _started(
        self, name: str, facts: Mapping[str, Fact], at: float | None, within: Context | None
    ) -> Span:
        span = self._tracer.start_span(
            name,
            within,
            attributes=dict(facts),
            start_time=_nanoseconds(at),
            record_exception=False,
            set_status_on_exception=False,
        )
        return _Kept(span, self._tracer)


class _Seldom(logging.Filter):
    """Lets through one line a minute: a collector that is away fails every two seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._said = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - logging's signature
        now = time.monotonic()
        if now - self._said < QUIET_SECONDS:
            return False
        self._said = now
        return True


def start(endpoint: str, *, service: str, process: str, ratio: float, headers: Mapping[str, str]) -> Keeper:
    """Return a keeper that sends the share `ratio` (0 to 1) of all traces to a collector's base address.

    `service` and `process` are what backends name us by; `headers` go with every request.
    """
    sampler = TraceIdRatioBased(ratio)
    resource = Resource.create({"service.name": service, "service.instance.id": process})
    provider = TracerProvider(sampler=sampler, resource=resource, id_generator=_Ids(), shutdown_on_exit=False)
    url = endpoint.rstrip("/")
    exporter = OTLPSpanExporter(
        url if url.endswith(_PATH) else f"{url}{_PATH}", headers=dict(headers), timeout=SEND_SECONDS
    )
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=QUEUE, schedule_delay_millis=DELAY_MS)
    )
    seldom = _Seldom()
    for name in (
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "opentelemetry.sdk._shared_internal",
    ):
        logging.getLogger(name).addFilter(seldom)
    keeper = Keeper(provider, sampler)
    atexit.register(keeper.stop)
    return keeper


def _named(facts: Mapping[str, Fact | None]) -> dict[str, Fact]:
    return {f"parley.{name}": value for name, value in facts.items() if value is not None}


def _nanoseconds(at: float | None) -> int | None:
    return None if at is None else int(at * 1_000_000_000)
