"""A server with OpenAI's `/embeddings`, which knows some words that mean the same, and misbehaves on demand.

`python -m tests.support.embedding_server --port N` runs it for the stack.
"""

import argparse
import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIMENSIONS = 256
KEY = "embedding-key"
MODEL = "test-embedding"
MAX_BATCH = 64
_ALIKE = (
    ("refund", "money", "reimbursement", "repayment"),
    ("broken", "defective", "faulty", "damaged"),
    ("bicycle", "bike", "cycle"),
    ("price", "cost", "expensive", "charge"),
)
_MEANING = {word: group[0] for group in _ALIKE for word in group}


def vector(text: str, dimensions: int = DIMENSIONS) -> np.ndarray:
    """A bag of meanings: each word points somewhere, words that mean the same to the same place."""
    found = np.zeros(dimensions, np.float32)
    for raw in text.lower().split():
        word = raw.strip(".,?!:;'\"()")
        seed = int.from_bytes(hashlib.sha256(_MEANING.get(word, word).encode()).digest()[:4], "little")
        found += np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)
    return found * 3.0  # not of length 1: whoever asks has to see to that


@dataclass
class Server:
    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    ways: list[str] = field(default_factory=list)
    delay_seconds: float = 0.0

    def misbehave(self, *ways: str) -> None:
        """Answer the next requests in these ways, one each: a status, "cut", "garbage", "short", "nan"."""
        self.ways += ways


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - a class in a function
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            way = server.ways.pop(0) if server.ways else ""
            server.requests.append(body)
            time.sleep(server.delay_seconds)
            if way.isdecimal():
                self._send(int(way), {"error": {"message": str(body["input"])}})
            elif refusal := self._refusal(body):
                self._send(refusal, {"error": {"message": "no"}})
            else:
                self._answer(body, way)

        def _refusal(self, body: dict[str, Any]) -> int:
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                return 401
            texts = body.get("input")
            wrong = not isinstance(texts, list) or not 0 < len(texts) <= MAX_BATCH or not all(texts)
            return 400 if wrong or self.path != "/v1/embeddings" else 404 if body.get("model") != MODEL else 0

        def _answer(self, body: dict[str, Any], way: str) -> None:
            dimensions = body.get("dimensions", DIMENSIONS)
            found = [vector(text, dimensions) for text in body["input"]]
            if way == "nan":
                found[0][0] = np.nan
            rows = [{"object": "embedding", "index": n, "embedding": v.tolist()} for n, v in enumerate(found)]
            if way == "base64":
                for row, told in zip(rows, found, strict=True):
                    row["embedding"] = base64.b64encode(told.astype("<f4").tobytes()).decode()
            if way == "short":
                rows.pop()
            data = b"{}" if way == "garbage" else json.dumps({"data": rows[::-1]}).encode()
            self._send(200, data, cut=way == "cut")

        def _send(self, status: int, body: Any, *, cut: bool = False) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = cut

    return Handler


@contextmanager
def embedding_server(port: int = 0) -> Iterator[Server]:
    server = Server("")
    http = ThreadingHTTPServer(("127.0.0.1", port), _handler(server))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8710)
    with embedding_server(parser.parse_args().port) as running:
        print(running.url)
        threading.Event().wait()
