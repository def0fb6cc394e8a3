"""A batch of clips, watched from outside and from the database while parts die."""

import json
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx

from project.bench.stack import EmbeddedStack
from workers.rendering.probe import inspect

SCRIPT = "This is clip number {number}. It was accepted, so it will be finished."
FINAL = ("succeeded", "failed", "canceled")
READY_SECONDS = 240.0


class Receiver:
    """A customer's webhook endpoint that remembers what it was told."""

    def __init__(self) -> None:
        self.told: dict[str, set[tuple[str, str]]] = defaultdict(set)  # clip -> {(webhook id, type)}
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                event = json.loads(body)
                told[event["data"]["id"]].add((self.headers["webhook-id"], event["type"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Batch:
    """Clips that were accepted once and are never posted again."""

    stack: EmbeddedStack
    ids: list[str] = field(default_factory=list)

    def post(self, count: int, callback_url: str = "", **fields: Any) -> None:
        avatar = ready_avatar(self.stack)
        clips = [
            {"avatar": avatar, "script": SCRIPT.format(number=n + 1), **fields}
            | ({"callback_url": callback_url} if callback_url else {})
            for n in range(count)
        ]
        with self.stack.client as client:
            answer = client.post("/api/v1/clips/batch", json={"clips": clips})
        assert answer.status_code == 202, answer.text
        self.ids = [clip["id"] for clip in answer.json()["clips"]]

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Read the stack's database beside it; one statement, never a write."""
        marks = ",".join("?" * len(self.ids))
        path = self.stack.home / "parley.sqlite3"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as connection:
            return connection.execute(sql.replace(":ids", f"({marks})"), (*self.ids, *parameters)).fetchall()

    def fragments_done(self) -> dict[tuple[str, int], tuple[str, str, int]]:
        """(clip, index) -> (when it was done, checksum, starts)."""
        rows = self.rows(
            'SELECT clip_id, "index", done_at, sha256, attempts FROM generation_clipfragment '
            "WHERE clip_id IN :ids AND status = 'done'"
        )
        return {(clip, index): (done_at, sha, attempts) for clip, index, done_at, sha, attempts in rows}

    def statuses(self) -> dict[str, str]:
        return dict(self.rows("SELECT id, status FROM generation_clip WHERE id IN :ids"))

    def wait_fragments(self, count: int, seconds: float = 120.0) -> None:
        self.stack.wait_until(
            lambda: len(self.fragments_done()) >= count, f"{count} fragments are done", seconds
        )

    def wait_stage(self, stage: str, seconds: float = 120.0) -> None:
        sql = "SELECT count(*) FROM generation_clip WHERE id IN :ids AND status = 'running' AND stage = ?"
        self.stack.wait_until(lambda: self.rows(sql, stage)[0][0] > 0, f"a clip is {stage}", seconds)

    def wait_ended(self, seconds: float = 240.0) -> None:
        def ended() -> bool:
            return all(status in FINAL for status in self.statuses().values())

        try:
            self.stack.wait_until(ended, "every clip has ended", seconds)
        except AssertionError as error:
            stuck = self.rows(
                "SELECT id, status, stage, failure_code, fragments_done, fragments_total, attempts "
                "FROM generation_clip WHERE id IN :ids AND status <> 'succeeded'"
            )
            raise AssertionError(f"stuck: {stuck}\n{error}") from None

    def check_whole(self) -> None:
        """Every clip succeeded, with a video that has all its frames and sound of the same length."""
        failures = self.rows(
            "SELECT id, status, failure_code, failure_message FROM generation_clip "
            "WHERE id IN :ids AND status <> 'succeeded'"
        )
        assert failures == []
        frames = dict(
            self.rows(
                "SELECT clip_id, sum(frames) FROM generation_clipfragment "
                "WHERE clip_id IN :ids GROUP BY clip_id"
            )
        )
        with self.stack.client as client:
            for clip_id in self.ids:
                clip = client.get(f"/api/v1/clips/{clip_id}").json()
                video = inspect(httpx.get(clip["result"]["video_url"], timeout=30).content)
                assert video.frames == frames[clip_id]
                assert abs(clip["result"]["duration_ms"] - video.frames * 40) <= 40

    def check_told_once(self, receiver: Receiver, seconds: float = 60.0) -> None:
        """Each clip's end was told under one id: repeats of a delivery carry the same one."""
        self.stack.wait_until(
            lambda: all(receiver.told.get(clip_id) for clip_id in self.ids),
            "every webhook has arrived",
            seconds,
        )
        for clip_id in self.ids:
            assert len(receiver.told[clip_id]) == 1
            assert {kind for _, kind in receiver.told[clip_id]} == {"clip.succeeded"}

    def check_nothing_left(self) -> None:
        """No row claims to be worked on, and nobody holds a lease."""
        held = self.rows("SELECT id FROM generation_clip WHERE id IN :ids AND lease_token <> ''")
        undone = self.rows(
            "SELECT clip_id FROM generation_clipfragment WHERE clip_id IN :ids AND status <> 'done'"
        )
        assert held == []
        assert undone == []


def ready_avatar(stack: EmbeddedStack) -> str:
    """The id of a built-in avatar, waited for."""
    deadline = time.monotonic() + READY_SECONDS
    with stack.client as client:
        while time.monotonic() < deadline:
            for avatar in client.get("/api/v1/avatars").json()["results"]:
                if avatar["status"] == "ready":
                    return str(avatar["id"])
            time.sleep(0.5)
    raise AssertionError(f"No avatar became ready\n{stack.logs()}")


def moments(total: int) -> Iterator[int]:
    """How many fragments are done when something dies: early, in the middle, late."""
    yield from (max(1, total // 8), total // 2, total - max(2, total // 8))
