"""The customer of a batch gets one clip for each order, whatever happens to his requests."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import pytest

from project.bench.faults import batch as batches
from project.bench.faults.batch import Batch, Receiver
from project.bench.faults.plan import Order


class Service:
    """Clips that end at the second look; `trouble` is what the next requests meet instead of an answer."""

    def __init__(self) -> None:
        self.trouble: list[int | None] = []
        self.clips: dict[str, dict[str, object]] = {}
        self.canceled: list[str] = []
        self.keys: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.trouble:
            status = self.trouble.pop(0)
            if status is None:
                raise httpx.ReadError("it died")
            return httpx.Response(status)
        if request.url.path.endswith("/cancel"):
            self.canceled.append(request.url.path.split("/")[-2])
            return httpx.Response(202)
        return self._post(request) if request.method == "POST" else self._list(request)

    def _post(self, request: httpx.Request) -> httpx.Response:
        key = request.headers["Idempotency-Key"]
        self.keys.append(key)
        body = json.loads(request.content)
        clip = self.clips.setdefault(key, {"id": f"clip_{key}", "looks": 0, "body": body})
        return httpx.Response(202, json={"id": clip["id"]})

    def _list(self, request: httpx.Request) -> httpx.Response:
        wanted = request.url.params["ids"].split(",")
        found = [clip for clip in self.clips.values() if clip["id"] in wanted]
        for clip in found:
            clip["looks"] = int(str(clip["looks"])) + 1
        states = {1: ("running", 50)}
        rows = [(clip["id"], *states.get(int(str(clip["looks"])), ("succeeded", 100))) for clip in found]
        named = [dict(zip(("id", "status", "progress"), row, strict=True)) for row in rows]
        return httpx.Response(200, json={"results": named})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "ASK_SECONDS", 0.001)


@pytest.fixture
def service() -> Service:
    return Service()


def ordered(service: Callable[[httpx.Request], httpx.Response], *orders: Order, at_once: int = 2) -> Batch:
    def client() -> httpx.Client:
        return httpx.Client(base_url="http://service", transport=httpx.MockTransport(service))

    batch = Batch(client, orders, "avt_1", "http://hook", at_once, "avt_card")
    batch.start()
    assert batch._thread is not None
    batch._thread.join(20)
    return batch


def order(number: int, *, cancel_after: float | None = None, repeats: int = 0) -> Order:
    return Order(number, f"Clip {number}.", "en-joe", "", cancel_after, repeats)


def test_every_order_becomes_one_clip(service):
    batch = ordered(service, *(order(number) for number in range(5)))
    assert batch.over
    assert batch.progress == 1.0
    assert [one.status for one in batch.accepted] == ["succeeded"] * 5
    assert [clip["body"]["metadata"] for clip in service.clips.values()] == [{"number": n} for n in range(5)]


def test_an_order_of_the_test_card_is_posted_with_its_avatar(service):
    ordered(service, order(0), replace(order(1), card=True))
    assert [clip["body"]["avatar"] for clip in service.clips.values()] == ["avt_1", "avt_card"]


def test_a_request_that_was_not_answered_is_sent_again_with_its_key(service):
    service.trouble = [None, 503, None]
    batch = ordered(service, order(0))
    assert batch.asked_again == 3
    assert service.keys == ["order-0"]
    assert batch.accepted[0].status == "succeeded"


def test_who_repeats_himself_keeps_every_id(service):
    batch = ordered(service, order(0, repeats=2))
    assert service.keys == ["order-0"] * 3
    assert batch.accepted[0].ids == ["clip_order-0"] * 3


def test_a_refusal_is_written_down(service):
    service.trouble = [400]
    batch = ordered(service, order(0), order(1))
    assert batch.over
    assert batch.refused == ["order 0: 400 "]
    assert [one.order.number for one in batch.accepted] == [1]


def test_some_are_canceled(service):
    batch = ordered(service, order(0, cancel_after=0.0), order(1))
    assert service.canceled == ["clip_order-0"]
    assert [one.canceled for one in batch.accepted] == [True, False]


def test_an_error_nobody_expected_ends_the_batch(service):
    def broken(request: httpx.Request) -> httpx.Response:
        return service(request) if request.method == "POST" else httpx.Response(404)

    batch = ordered(broken, order(0))
    assert batch.over
    assert isinstance(batch.error, httpx.HTTPStatusError)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def test_the_receiver_remembers_every_delivery(receiver):
    body = json.dumps({"type": "clip.succeeded", "data": {"id": "clip_1"}}).encode()
    for _ in range(2):
        request = urllib.request.Request(receiver.url, body, {"webhook-id": "evt_1"})
        urllib.request.urlopen(request, timeout=5)
    (first, second) = receiver.by_subject()["clip_1"]
    assert first == second
    assert (first.event, first.kind, first.body) == ("evt_1", "clip.succeeded", body)
