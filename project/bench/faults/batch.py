"""A customer who orders clips while parts die: repeats himself, cancels, and asks how far they are.

A request that got no answer is sent again with the same `Idempotency-Key`, as docs/api.md tells customers to;
so there is exactly one clip for every order, whatever died meanwhile.
"""

import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx

from project.bench.faults.plan import Order

FINAL = ("succeeded", "failed", "canceled")
ASK_SECONDS = 0.5
ANSWER_SECONDS = 120.0  # within which a request gets through, though parts die
HTTP_SECONDS = 20.0
AGAIN = frozenset({409, 429, 500, 502, 503, 504})
MOST_BODY_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Told:
    """One delivery of a webhook, as it arrived."""

    event: str
    kind: str
    subject: str
    body: bytes


class Receiver:
    """A customer's webhook endpoint that remembers everything it was told."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers["Content-Length"]), MOST_BODY_BYTES))
                event = json.loads(body)
                told.append(Told(self.headers["webhook-id"], event["type"], event["data"]["id"], body))
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

    def by_subject(self) -> dict[str, list[Told]]:
        """What was told of each clip or session, in the order in which it came."""
        found: dict[str, list[Told]] = defaultdict(list)
        for one in list(self.told):
            found[one.subject].append(one)
        return found


@dataclass
class Accepted:
    """An order that became a clip: every id that was ever answered for it."""

    order: Order
    at: float
    ids: list[str]
    status: str = "queued"
    progress: int = 0
    canceled: bool = False  # its cancellation was accepted

    @property
    def id(self) -> str:
        return self.ids[0]


@dataclass
class Batch:
    """Orders clips until all have ended. `run` is a thread's; the others may be read at any time."""

    client: Callable[[], httpx.Client]
    orders: Sequence[Order]
    avatar: str
    callback_url: str
    at_once: int
    card: str = ""  # the avatar of orders that are of a test card
    accepted: list[Accepted] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    asked_again: int = 0
    error: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="batch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(ANSWER_SECONDS)

    @property
    def progress(self) -> float:
        """The share of the work that is done, 0 to 1."""
        known = list(self.accepted)
        return sum(100 if one.status in FINAL else one.progress for one in known) / (100 * len(self.orders))

    @property
    def over(self) -> bool:
        posted = len(self.accepted) + len(self.refused) == len(self.orders)
        return self.error is not None or (posted and not self.open)

    @property
    def open(self) -> list[Accepted]:
        return [one for one in list(self.accepted) if one.status not in FINAL]

    def _run(self) -> None:
        waiting = deque(self.orders)
        try:
            with self.client() as http:
                http.timeout = httpx.Timeout(HTTP_SECONDS)
                while (waiting or self.open) and not self._stop.is_set():
                    while waiting and len(self.open) < self.at_once and not self._stop.is_set():
                        self._post(http, waiting.popleft())
                    self._cancel(http)
                    self._look(http)
                    self._stop.wait(ASK_SECONDS)
        except Exception as error:  # noqa: BLE001 - whoever waits for this thread raises it
            self.error = error

    # --- Requests ---------------------------------------------------------------------------

    def _post(self, http: httpx.Client, order: Order) -> None:
        ids = []
        for _ in range(1 + order.repeats):
            answer = self._call(
                http,
                "POST",
                "/api/v1/clips",
                json=order.body(self.card if order.card else self.avatar, self.callback_url),
                headers={"Idempotency-Key": f"order-{order.number}"},
            )
            if answer.status_code not in (200, 202):
                self.refused.append(f"order {order.number}: {answer.status_code} {answer.text[:200]}")
                return
            ids.append(answer.json()["id"])
        self.accepted.append(Accepted(order, time.monotonic(), ids))

    def _cancel(self, http: httpx.Client) -> None:
        for one in self.open:
            after = one.order.cancel_after
            if after is None or one.canceled or time.monotonic() < one.at + after:
                continue
            answer = self._call(http, "POST", f"/api/v1/clips/{one.id}/cancel", again=AGAIN - {409})
            one.canceled = answer.status_code in (200, 202)
            if not one.canceled:  # 409: it had ended before
                one.order = replace(one.order, cancel_after=None)

    def _look(self, http: httpx.Client) -> None:
        ids = [one.id for one in self.open]
        known = {one.id: one for one in self.accepted}
        for first in range(0, len(ids), 100):
            some = ids[first : first + 100]
            answer = self._call(http, "GET", "/api/v1/clips", params={"ids": ",".join(some), "limit": 100})
            answer.raise_for_status()
            for clip in answer.json()["results"]:
                known[clip["id"]].status, known[clip["id"]].progress = clip["status"], clip["progress"]

    def _call(
        self, http: httpx.Client, method: str, path: str, *, again: frozenset[int] = AGAIN, **what: Any
    ) -> httpx.Response:
        """Ask until there is an answer. Raises what the last try met."""
        until = time.monotonic() + ANSWER_SECONDS
        while True:
            last = time.monotonic() > until or self._stop.is_set()
            try:
                answer = http.request(method, path, **what)
            except httpx.HTTPError:
                if last:
                    raise
            else:
                if last or answer.status_code not in again:
                    return answer
            self.asked_again += 1
            time.sleep(ASK_SECONDS)
