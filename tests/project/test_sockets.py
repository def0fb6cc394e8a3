"""Where we reach into daphne and Twisted: these fail when what we reach for has changed."""

import functools
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory
from daphne.ws_protocol import WebSocketFactory
from twisted.internet.abstract import FileDescriptor

from project import asgi  # noqa: F401 - it puts the limits in place
from project.sockets import MAX_MESSAGE_BYTES, unsent_bytes


def test_a_message_far_too_large_never_reaches_the_application() -> None:
    factory = WebSocketFactory(None)
    factory.setProtocolOptions(
        maxMessagePayloadSize=1024 * 1024, maxFramePayloadSize=1024 * 1024, autoPingTimeout=30
    )
    assert factory.maxMessagePayloadSize == MAX_MESSAGE_BYTES
    assert factory.maxFramePayloadSize == MAX_MESSAGE_BYTES
    assert factory.autoPingTimeout == 30
    assert issubclass(WebSocketFactory, WebSocketServerFactory)


def test_a_smaller_limit_is_kept() -> None:
    factory = WebSocketFactory(None)
    factory.setProtocolOptions(maxMessagePayloadSize=1000)
    assert factory.maxMessagePayloadSize == 1000


class Transport(FileDescriptor):
    """Twisted's own, to a client that never reads."""

    def __init__(self) -> None:
        super().__init__(reactor=NoReactor())  # type: ignore[arg-type]
        self.connected = 1


class NoReactor:
    def addWriter(self, writer: Any) -> None: ...  # noqa: N802 - Twisted's name

    def addReader(self, reader: Any) -> None: ...  # noqa: N802


class Wrapped:
    """TLS stands between the socket and whoever writes."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport


class Protocol:
    def __init__(self, transport: Any) -> None:
        self.transport = transport


async def handle_reply(protocol: Any, message: dict[str, Any]) -> None: ...


def test_what_a_slow_client_has_not_read_is_counted() -> None:
    transport = Transport()
    for holder in (Protocol(transport), Protocol(Wrapped(transport))):
        send = functools.partial(handle_reply, holder)
        before = unsent_bytes(send)
        transport.write(b"x" * 5000)
        assert unsent_bytes(send) == before + 5000


def test_another_server_tells_nothing() -> None:
    assert unsent_bytes(lambda _: None) == 0
