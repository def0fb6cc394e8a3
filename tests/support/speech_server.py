"""A speech provider that answers as OpenAI's does, and misbehaves as it is told.

Each request takes the next behaviour of a list; when the list is used up it behaves.
"""

import base64
import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

RATE = 24_000


def tone(ms: int = 200, rate: int = RATE) -> bytes:
    """A 200 Hz tone, mono s16le."""
    times = np.arange(rate * ms // 1000) / rate
    return (np.sin(2 * np.pi * 200 * times) * 8000).astype("<i2").tobytes()


def wav(pcm: bytes, length: int | None = None, rate: int = RATE, channels: int = 1) -> bytes:
    size = len(pcm) if length is None else length
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    extra = b"LIST" + struct.pack("<I", 4) + b"INFO"
    return (
        b"RIFF"
        + struct.pack("<I", 0xFFFFFFFF)
        + b"WAVE"
        + b"fmt "
        + struct.pack("<I", 16)
        + form
        + extra
        + (b"data" + struct.pack("<I", size) + pcm)
    )


@dataclass
class SpeechServer:
    """`requests` is what was asked; `gone` is set when a client left a stalled answer."""

    url: str = ""
    key: str = "secret"
    behaviours: list[str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)
    pcm: bytes = field(default_factory=tone)


@contextmanager
def speech_server(*behaviours: str) -> Iterator[SpeechServer]:
    state = SpeechServer(behaviours=list(behaviours))

    class Handler(_Handler):
        server_state = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: SpeechServer

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        state = self.server_state
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {state.key}":
            self._error(401, "invalid_api_key")
            return
        multipart = self.path.endswith("transcriptions")
        state.requests.append({"path": self.path, "raw": body} if multipart else json.loads(body))
        behaviour = state.behaviours.pop(0) if state.behaviours else "ok"
        name, _, argument = behaviour.partition(" ")
        if name.isdecimal():
            self._error(int(name), argument or "some_error")
        elif multipart:
            self._heard(name)
        else:
            getattr(self, f"_{name}")(argument)

    def _error(self, status: int, code: str) -> None:
        body = json.dumps({"error": {"message": "the text was: hello", "code": code, "type": "x"}}).encode()
        self._head(status, "application/json", len(body), {"Retry-After": "0"})
        self.wfile.write(body)

    def _head(self, status: int, kind: str, length: int | None, extra: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is None:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))
        for key, value in (extra or {}).items():
            self.send_header(key, value)
        self.end_headers()

    def _ok(self, _: str) -> None:
        pcm = self.server_state.pcm
        if self.server_state.requests[-1].get("stream_format") == "sse":
            self._events("")
            return
        self._head(200, "audio/pcm", len(pcm), {"X-Sample-Rate": str(RATE)})
        self.wfile.write(pcm)

    def _plain(self, kind: str) -> None:
        """No header tells the rate unless the content type does."""
        self._head(200, kind, len(self.server_state.pcm))
        self.wfile.write(self.server_state.pcm)

    def _odd(self, _: str) -> None:
        """Cuts its writes in the middle of samples."""
        pcm = self.server_state.pcm
        self._head(200, "audio/pcm", len(pcm))
        for start in range(0, len(pcm), 333):
            self.wfile.write(pcm[start : start + 333])
            self.wfile.flush()

    def _odd_end(self, _: str) -> None:
        """Half a sample is missing, and nothing but that says so."""
        self._head(200, "audio/pcm", None)
        self.wfile.write(self.server_state.pcm[:-1])

    def _truncated(self, _: str) -> None:
        """Announces more than it sends."""
        self._head(200, "audio/pcm", len(self.server_state.pcm))
        self.wfile.write(self.server_state.pcm[:1000])
        self.close_connection = True

    def _dropped(self, _: str) -> None:
        """Hangs up without a word."""
        self.close_connection = True

    def _stall(self, argument: str) -> None:
        """Sends a little (or nothing) and then waits until the client leaves."""
        self._head(200, "audio/pcm", None)
        if argument != "silent":
            self.wfile.write(self.server_state.pcm[:2000])
        self.wfile.flush()
        self.connection.settimeout(0.05)
        while not self.server_state.closing.is_set():
            try:
                if not self.connection.recv(1):
                    self.server_state.gone.set()
                    return
            except TimeoutError:
                continue
            except OSError:
                self.server_state.gone.set()
                return

    def _wav(self, length: str) -> None:
        content = wav(self.server_state.pcm, int(length, 16) if length else None)
        self._head(200, "audio/wav", None)
        self.wfile.write(content)

    def _short_wav(self, _: str) -> None:
        content = wav(self.server_state.pcm[:1000], len(self.server_state.pcm))
        self._head(200, "audio/wav", None)
        self.wfile.write(content)

    def _stereo(self, _: str) -> None:
        samples = np.frombuffer(self.server_state.pcm, "<i2")
        content = wav(np.repeat(samples, 2).astype("<i2").tobytes(), channels=2)
        self._head(200, "audio/wav", len(content))
        self.wfile.write(content)

    def _json(self, _: str) -> None:
        body = b'{"status": "fine, but no sound"}'
        self._head(200, "application/json", len(body))
        self.wfile.write(body)

    def _events(self, fault: str) -> None:
        pcm = self.server_state.pcm
        half = len(pcm) // 2 + 1  # in the middle of a sample
        events: list[dict[str, Any]] = [
            {"type": "speech.audio.delta", "audio": base64.b64encode(pcm[:half]).decode()},
            {"type": "speech.audio.delta", "audio": base64.b64encode(pcm[half:]).decode()},
            {
                "type": "speech.audio.timings",
                "phones": [{"symbol": "h", "start_ms": 10, "end_ms": 60}],
                "words": [{"text": "hello", "start_ms": 10, "end_ms": 190}],
            },
        ]
        if fault == "error":
            events[1:] = [{"type": "error", "error": {"message": "out of memory"}}]
        if not fault:
            events.append({"type": "speech.audio.done"})
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
        self._head(200, "text/event-stream", None, {"X-Sample-Rate": str(RATE)})
        self.wfile.write(b": hello\n\n" + (b"data: {nonsense\n\n" if fault == "garbled" else text))

    def _heard(self, name: str) -> None:
        answers: dict[str, tuple[str, Any]] = {
            "ok": (
                "json",
                {"text": " Hello. ", "segments": [{"start": 0.5, "end": 1.25, "text": " Hello."}]},
            ),
            "sentence": ("json", {"sentence": "Hello."}),
            "choices": ("json", {"choices": [{"message": {"content": "Hello."}}]}),
            "segments": ("json", {"segments": [{"start": 0, "end": 1, "text": "Hello."}]}),
            "text": ("plain", "Hello.\n"),
            "strange": ("json", ["no", "object"]),
            "empty": ("json", {"text": ""}),
        }
        kind, answer = answers[name]
        body = answer.encode() if kind == "plain" else json.dumps(answer).encode()
        self._head(200, "text/plain" if kind == "plain" else "application/json", len(body))
        self.wfile.write(body)
