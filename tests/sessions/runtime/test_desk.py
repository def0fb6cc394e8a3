"""What tools do outside of a conversation: the owner's servers are told and asked."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from project.accounts import signing
from project.errors import Conflict, InvalidInput, Unavailable
from project.webhooks import services as webhooks
from project.webhooks.models import Delivery
from sessions import erasing
from sessions.runtime import desk as desks
from sessions.runtime.desk import LiveDesk
from tests.support.sessions import started

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Shop:
    """A server of the owner's. `status`, `answer` and `location` are what it says."""

    url: str = ""
    status: int = 200
    answer: bytes = b'{"status": "on its way"}'
    location: str = ""
    asked: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    silent: threading.Event | None = None
    left: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving() -> Iterator[Shop]:
    shop = Shop()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            shop.asked.append(({name.lower(): value for name, value in self.headers.items()}, body))
            if shop.silent is not None:
                shop.silent.set()
                if not self.connection.recv(1):
                    shop.left.set()
                return
            self.send_response(shop.status)
            if shop.location:
                self.send_header("Location", shop.location)
            self.send_header("Content-Length", str(len(shop.answer)))
            self.end_headers()
            self.wfile.write(shop.answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shop.url = f"http://127.0.0.1:{server.server_port}/order"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture
def shop(settings):
    settings.EGRESS_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    with serving() as running:
        yield running


@pytest.fixture
def session(alice, avatar):
    return started(alice, avatar)[0]


@pytest.fixture
def desk(session):
    return LiveDesk(session.pk, session.owner_id, over=lambda: None)


async def test_a_server_is_asked_with_a_signature_and_its_answer_comes_back(shop, desk, session, alice):
    assert await desk.call("order", shop.url, {"number": 7}) == '{"status": "on its way"}'
    ((headers, body),) = shop.asked
    told = json.loads(body)
    assert told["type"] == "tool.called"
    assert told["data"] == {"session": session.pk, "tool": "order", "arguments": {"number": 7}}
    key = signing.secret(alice.pk, alice.callback_secret_version)
    stamp = int(headers["webhook-timestamp"])
    signed = signing.signature(key, message_id=headers["webhook-id"], timestamp=stamp, body=body)
    assert headers["webhook-signature"] == signed


@pytest.mark.parametrize(("status", "location"), [(500, ""), (404, ""), (302, "/elsewhere")])
async def test_only_a_success_is_an_answer_and_nobody_is_followed(shop, desk, status, location):
    shop.status, shop.location = status, location
    with pytest.raises(Unavailable) as caught:
        await desk.call("order", shop.url, {})
    assert caught.value.code == "tool_refused"
    assert len(shop.asked) == 1


async def test_a_long_answer_is_cut(shop, desk):
    shop.answer = b"x" * 100_000
    assert len(await desk.call("order", shop.url, {})) == desks.MAX_ANSWER_BYTES


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]"])
async def test_private_addresses_are_refused_when_they_are_called(shop, desk, settings, host):
    settings.EGRESS_ALLOWED_NETWORKS = []
    port = shop.url.rpartition(":")[2]
    with pytest.raises(InvalidInput) as caught:
        await desk.call("order", f"http://{host}:{port}", {})
    assert caught.value.code == "address_not_allowed"
    assert shop.asked == []


async def test_a_silent_server_is_given_up(shop, desk, monkeypatch):
    monkeypatch.setattr(desks, "CALL_SECONDS", 0.1)
    shop.silent = threading.Event()
    with pytest.raises(Unavailable) as caught:
        await desk.call("order", shop.url, {})
    assert caught.value.code == "connection_failed"


async def test_leaving_closes_the_connection(shop, desk):
    shop.silent = threading.Event()
    waiting = asyncio.create_task(desk.call("order", shop.url, {}))
    await asyncio.to_thread(shop.silent.wait, 10)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await asyncio.to_thread(shop.left.wait, 10)


async def test_nothing_of_a_call_is_logged(shop, desk, caplog):
    caplog.set_level("DEBUG")
    shop.status = 500
    with pytest.raises(Unavailable) as caught:
        await desk.call("order", shop.url + "?token=hush", {"name": "Ms Private"})
    heard = caplog.text + str(caught.value)
    assert "Ms Private" not in heard
    assert "whsec_" not in heard


async def test_a_switched_off_account_asks_nobody(shop, desk, alice):
    alice.is_active = False
    await asyncio.to_thread(alice.save)
    with pytest.raises(Unavailable):
        await desk.call("order", shop.url, {})
    assert shop.asked == []


async def test_a_handover_is_put_into_the_outbox_once(desk, session, alice):
    url = "https://93.184.216.34/hook"
    await asyncio.to_thread(lambda: webhooks.create_endpoint(alice, url=url, events=["session.handover"]))
    await desk.handover("wants a human")
    with pytest.raises(Conflict):
        await desk.handover("again")
    (sent,) = await asyncio.to_thread(lambda: list(Delivery.objects.filter(event_type="session.handover")))
    told = json.loads(sent.body)["data"]
    assert (told["id"], told["reason"]) == (session.pk, "wants a human")
    assert told["transcript_url"].endswith(f"/api/v1/sessions/{session.pk}/transcript")
    await asyncio.to_thread(erasing.session_erase, session)
    (sent,) = await asyncio.to_thread(lambda: list(Delivery.objects.filter(event_type="session.handover")))
    assert json.loads(sent.body)["data"]["reason"] == ""
