"""Clips that are made beside something else, one after the other in so many threads."""

import threading
import time
from types import TracebackType
from typing import Any, Self

import httpx

from project.bench.target import Target

POLL_SECONDS = 1.0
STOP_SECONDS = 90.0


class ClipsBeside:
    """`made` and `failed` count clips that ended. Those that are under way at the end are cancelled."""

    def __init__(self, target: Target, body: dict[str, Any], at_once: int) -> None:
        self._target, self._body = target, body
        self.made = self.failed = 0
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"clips{number}", daemon=True)
            for number in range(at_once)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def counts(self) -> tuple[int, int]:
        with self._lock:
            return self.made, self.failed

    def _run(self) -> None:
        with self._target.client as http:
            while not self._ended.is_set():
                try:
                    ended = self._one(http)
                except (httpx.HTTPError, ValueError, KeyError):
                    ended = "failed"
                    self._ended.wait(POLL_SECONDS)
                with self._lock:
                    self.made += ended == "succeeded"
                    self.failed += ended == "failed"

    def _one(self, http: httpx.Client) -> str:
        """Make one clip; returns how it ended."""
        clip = http.post("/api/v1/clips", json=self._body).raise_for_status().json()
        while clip["status"] in ("queued", "running"):
            if self._ended.wait(POLL_SECONDS):
                http.post(f"/api/v1/clips/{clip['id']}/cancel")
                return "cancelled"
            clip = http.get(f"/api/v1/clips/{clip['id']}").raise_for_status().json()
        return str(clip["status"])
