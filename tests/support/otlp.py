"""A collector of traces: takes OTLP over HTTP as the protocol has it, and keeps what it was sent."""

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from project import tracing


@dataclass(frozen=True)
class Received:
    """A span as it was sent; ids in hex, moments in Unix seconds, `code` is set where it failed."""

    name: str
    trace: str
    id: str
    parent: str
    begun: float
    ended: float
    code: str
    facts: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Collector:
    """`away` answers 503, `hanging` never; `raw` is every body, for what must not be in any."""

    url: str = ""
    away: bool = False
    spans: list[Received] = field(default_factory=list)
    raw: bytes = b""
    headers: list[dict[str, str]] = field(default_factory=list)
    hanging: threading.Event = field(default_factory=threading.Event)
    asked: int = 0

    def named(self, name: str) -> list[Received]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Received:
        (found,) = self.named(name)
        return found

    def until(self, *names: str, seconds: float = 20.0) -> None:
        """Wait until there are spans of all these names."""
        give_up = time.monotonic() + seconds
        while missing := set(names) - {span.name for span in self.spans}:
            assert time.monotonic() < give_up, f"no {missing} among {[span.name for span in self.spans]}"
            time.sleep(0.05)

    def take(self, body: bytes) -> None:
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {pair.key: _value(pair.value) for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [_received(span, about) for span in scope.spans]


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


def _received(span: Any, resource: dict[str, Any]) -> Received:
    assert not span.events, "an event may hold the words of an exception"
    return Received(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        begun=span.start_time_unix_nano / 1e9,
        ended=span.end_time_unix_nano / 1e9,
        code=span.status.message if span.status.code == 2 else "",
        facts={pair.key.removeprefix("parley."): _value(pair.value) for pair in span.attributes},
        resource=resource,
    )


@contextmanager
def collector() -> Iterator[Collector]:
    """Serve on a free loopback port."""
    kept = Collector()
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.asked += 1
            if kept.hanging.is_set():
                released.wait(60)
                return
            if kept.away:
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            assert self.path == "/v1/traces"
            assert self.headers["Content-Type"] == "application/x-protobuf"
            kept.headers.append({name.lower(): value for name, value in self.headers.items()})
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            kept.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        released.set()
        server.shutdown()
        server.server_close()


@contextmanager
def traced(*, ratio: float = 1.0) -> Iterator[Collector]:
    """Keep the traces of this process, and give the collector; all of them have arrived behind the block."""
    with collector() as kept:
        tracing.start(kept.url, service="tests", process="tests:1", ratio=ratio, headers={"x-key": "secret"})
        try:
            yield kept
        finally:
            tracing.stop()
