"""Sockets to providers, against a real server."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from project import context
from workers.adapters import sockets
from workers.adapters.errors import AdapterError
from workers.adapters.sockets import lease

KEY = {"Authorization": "Bearer sk-secret"}


class Provider:
    """Says back what it hears; some words make it misbehave."""

    def __init__(self) -> None:
        self.url = ""
        self.opened = 0
        self.lost: list[int | None] = []
        self.left = asyncio.Event()
        self.headers: list[dict[str, str]] = []
        self.status: int | None = None
        self.answer_headers: dict[str, str] = {}

    async def speak(self, connection: ServerConnection) -> None:
        self.opened += 1
        try:
            async for message in connection:
                await self._answer(connection, message)
        except Exception:  # noqa: BLE001 - how a client goes is told by `lost`
            pass
        finally:
            self.lost.append(connection.close_code)
            self.left.set()

    async def _answer(self, connection: ServerConnection, message: str | bytes) -> None:
        if message == "bye":
            await connection.close(4001, "enough")
        elif message == "vanish":
            connection.transport.abort()
        elif message == "huge":
            await connection.send("x" * (sockets.MAX_MESSAGE_BYTES + 1))
        elif message == "twice":
            await connection.send("one")
            await connection.send("two")
        elif message != "hush":
            await connection.send(message)

    async def greet(self, connection: ServerConnection, request: Request) -> Response | None:
        self.headers.append(dict(request.headers.raw_items()))
        if self.status is None:
            return None
        response = connection.respond(HTTPStatus(self.status), "the key was sk-secret\n")
        for name, value in self.answer_headers.items():
            response.headers[name] = value
        return response


@asynccontextmanager
async def _serving(provider: Provider) -> AsyncIterator[Provider]:
    quiet = logging.getLogger("tests.sockets")
    quiet.setLevel(logging.CRITICAL)
    async with serve(provider.speak, "127.0.0.1", 0, process_request=provider.greet, logger=quiet) as server:
        provider.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        yield provider
        await sockets.close_idle()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with _serving(Provider()) as serving:
        yield serving


async def said(provider: Provider, message: str | bytes, *, keep: bool = True, key: object = None) -> bool:
    """Say something and hear it; whether the socket had been used before."""
    async with lease(provider.url, KEY, open_seconds=5, reuse_key=key) as socket:
        await socket.send(message)
        assert await socket.receive(5) == message
        if keep:
            socket.keep()
        return socket.reused


async def test_text_and_bytes_go_both_ways_with_the_key(provider: Provider):
    await said(provider, "hello")
    await said(provider, b"\0\1\2")
    assert provider.headers[0]["Authorization"] == "Bearer sk-secret"
    assert "Sec-WebSocket-Extensions" not in provider.headers[0]


async def test_a_kept_socket_serves_the_next_lease(provider: Provider):
    assert [await said(provider, "a") for _ in range(3)] == [False, True, True]
    assert provider.opened == 1


async def test_while_it_waits_it_is_nobodys(provider: Provider, monkeypatch: pytest.MonkeyPatch):
    known: list[object] = []

    async def wait(_: sockets.Socket, seconds: float) -> None:
        known.append(context.ids())
        await asyncio.sleep(seconds)

    monkeypatch.setattr(sockets.Socket, "wait_for_end", wait)
    with context.about(session="ses_1"):
        await said(provider, "a")
    await asyncio.sleep(0)
    assert known == [{}]


async def test_one_that_is_not_kept_is_cut_off(provider: Provider):
    assert [await said(provider, "a", keep=False) for _ in range(2)] == [False, False]
    await asyncio.wait_for(provider.left.wait(), 5)
    assert provider.lost[0] == 1006, "no closing handshake"


async def test_sockets_are_shared_by_equals_alone(provider: Provider):
    await said(provider, "a", key="ann")
    assert not await said(provider, "a", key="ben")
    async with lease(
        provider.url, {"Authorization": "Bearer other"}, open_seconds=5, reuse_key="ann"
    ) as socket:
        assert not socket.reused
    assert await said(provider, "a", key="ann")


async def test_leases_at_the_same_time_have_sockets_of_their_own(provider: Provider):
    async def one() -> None:
        async with lease(provider.url, KEY, open_seconds=5) as socket:
            await socket.send("a")
            await met.wait()
            assert await socket.receive(5) == "a"
            socket.keep()

    met = asyncio.Barrier(5)
    await asyncio.gather(*(one() for _ in range(5)))
    assert provider.opened == 5
    await asyncio.gather(*(one() for _ in range(5)))
    assert provider.opened == 5


async def test_no_more_than_some_wait(provider: Provider, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sockets, "MAX_IDLE", 2)

    async def one() -> None:
        async with lease(provider.url, KEY, open_seconds=5) as socket:
            await met.wait()
            socket.keep()

    met = asyncio.Barrier(4)
    await asyncio.gather(*(one() for _ in range(4)))
    while len(provider.lost) < 2:
        await asyncio.sleep(0.005)
    assert [await said(provider, "a", keep=False) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("end", ["error", "cancel"])
async def test_whatever_ends_the_use_ends_the_connection(provider: Provider, end: str):
    async def use() -> None:
        async with lease(provider.url, KEY, open_seconds=5) as socket:
            socket.keep()
            await socket.send("hush")
            begun.set()
            if end == "error":
                raise KeyError
            await socket.receive(60)

    begun = asyncio.Event()
    task = asyncio.create_task(use())
    await begun.wait()
    task.cancel() if end == "cancel" else None
    await asyncio.wait([task])
    await asyncio.wait_for(provider.left.wait(), 5)
    assert provider.lost == [1006]
    assert not await said(provider, "a", keep=False)


async def test_an_idle_socket_grows_old(provider: Provider):
    async with lease(provider.url, KEY, open_seconds=5, idle_seconds=0.01) as socket:
        socket.keep()
    await asyncio.wait_for(provider.left.wait(), 5)
    assert not await said(provider, "a", keep=False)


async def test_an_idle_socket_that_the_provider_closes_is_not_used_again(provider: Provider):
    async with lease(provider.url, KEY, open_seconds=5) as socket:
        await socket.send("vanish")
        socket.keep()
    await asyncio.wait_for(provider.left.wait(), 5)
    while await said(provider, "a"):
        await asyncio.sleep(0)
    assert provider.opened == 2


async def test_what_was_left_over_reaches_nobody_else(provider: Provider):
    async with lease(provider.url, KEY, open_seconds=5) as socket:
        await socket.send("twice")
        assert await socket.receive(5) == "one"
        socket.keep()
    await asyncio.sleep(0.05)
    assert not await said(provider, "a", keep=False)


async def test_silence_is_a_timeout(provider: Provider):
    async with lease(provider.url, KEY, open_seconds=5, provider="acme") as socket:
        await socket.send("hush")
        with pytest.raises(AdapterError) as caught:
            await socket.receive(0.02)
    error = caught.value
    assert (error.code, error.retryable, error.provider) == ("provider_timeout", True, "acme")


@pytest.mark.parametrize(("word", "code"), [("bye", 4001), ("vanish", 1006)])
async def test_an_end_in_the_middle_is_told(provider: Provider, word: str, code: int):
    async with lease(provider.url, KEY, open_seconds=5) as socket:
        await socket.send(word)
        with pytest.raises(AdapterError) as caught:
            await socket.receive(5)
        assert (caught.value.code, caught.value.retryable) == ("provider_truncated", True)
        assert (socket.close_code, socket.close_reason) == (code, "enough" if word == "bye" else "")
        assert not socket.open
        with pytest.raises(AdapterError) as caught:
            await socket.send("more")
        assert caught.value.code == "provider_truncated"


async def test_too_long_a_message_is_refused(provider: Provider):
    async with lease(provider.url, KEY, open_seconds=5) as socket:
        await socket.send("huge")
        with pytest.raises(AdapterError) as caught:
            await socket.receive(10)
    assert (caught.value.code, caught.value.retryable) == ("provider_error", False)


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (401, "provider_unauthorized", False),
        (403, "provider_unauthorized", False),
        (404, "provider_not_found", False),
        (400, "provider_error", False),
        (429, "provider_busy", True),
        (503, "provider_error", True),
        (307, "provider_error", False),
    ],
)
async def test_a_refusal_is_told_by_its_status(
    provider: Provider, caplog: pytest.LogCaptureFixture, status: int, code: str, retryable: bool
):
    caplog.set_level(logging.DEBUG)
    provider.status = status
    provider.answer_headers = {"Retry-After": "7", "Location": provider.url + "elsewhere"}
    with pytest.raises(AdapterError) as caught:
        async with lease(provider.url + "?token=sk-secret", KEY, open_seconds=5, provider="acme"):
            pass
    error = caught.value
    assert (error.code, error.retryable, error.provider) == (code, retryable, "acme")
    assert error.retry_after == 7.0
    assert "sk-secret" not in str(error)
    assert "sk-secret" not in caplog.text
    assert len(provider.headers) == 1, "a redirect is not followed"


async def test_nobody_there_is_told(unused_tcp_port: int):
    with pytest.raises(AdapterError) as caught:
        async with lease(f"ws://127.0.0.1:{unused_tcp_port}/", {}, open_seconds=5):
            pass
    assert (caught.value.code, caught.value.retryable) == ("provider_unreachable", True)


async def test_who_takes_the_call_and_says_nothing_is_a_timeout():
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(AdapterError) as caught:
            async with lease(f"ws://127.0.0.1:{port}/", {}, open_seconds=0.05):
                pass
    assert caught.value.code == "provider_timeout"


async def test_who_hangs_up_in_the_handshake_is_away():
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(rude, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(AdapterError) as caught:
            async with lease(f"ws://127.0.0.1:{port}/", {}, open_seconds=5):
                pass
    assert (caught.value.code, caught.value.retryable) == ("provider_unreachable", True)


async def test_an_address_that_is_none_is_told():
    with pytest.raises(AdapterError) as caught:
        async with lease("https://example.com/", {}, open_seconds=5):
            pass
    assert (caught.value.code, caught.value.retryable) == ("provider_error", False)


async def test_a_provider_that_takes_nothing_is_a_timeout(provider: Provider):
    async def flood(socket: sockets.Socket) -> None:
        while True:  # it answers all, and nobody reads the answers
            await socket.send(bytes(262_144), seconds=0.1)

    async with lease(provider.url, KEY, open_seconds=5) as socket:
        with pytest.raises(AdapterError) as caught:
            await flood(socket)
    assert caught.value.code == "provider_timeout"


async def test_nothing_is_left_behind(provider: Provider):
    before = asyncio.all_tasks()
    await said(provider, "a")
    await sockets.close_idle()
    await asyncio.wait_for(provider.left.wait(), 5)
    await asyncio.sleep(0.02)
    assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()


async def test_one_who_is_cancelled_while_taking_a_socket_leaves_none_behind():
    provider = Provider()
    async with _serving(provider):
        async with lease(provider.url, KEY, open_seconds=5) as socket:
            socket.keep()
        async with lease(provider.url, KEY, open_seconds=5) as socket:
            socket.keep()
        taking = asyncio.create_task(_taken(provider.url))
        await asyncio.sleep(0)  # it ends the watch over the idle socket, and waits for that
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        assert taking.cancelled()
        await asyncio.wait_for(provider.left.wait(), 10)
    assert provider.opened == 1


async def _taken(url: str) -> None:
    async with lease(url, KEY, open_seconds=5):
        await asyncio.Event().wait()
