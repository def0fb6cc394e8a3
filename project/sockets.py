"""What is asked of daphne beyond its options: small messages, slow readers, an orderly end.

Each of these reaches into daphne or Twisted; tests/project/test_sockets.py fails when they change.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from autobahn.exception import Disconnected
from daphne import ws_protocol
from twisted.internet import defer, reactor

# What daphne's `send` raises between a client's going and the message that tells of it.
SocketGone = Disconnected

# A little more than a session takes: what is too large is named by it, what is far too large is cut off.
MAX_MESSAGE_BYTES = 256 * 1024


def bound_sockets() -> None:
    """Make daphne drop a socket that sends a message over `MAX_MESSAGE_BYTES`, before keeping it."""
    ws_protocol.WebSocketFactory.setProtocolOptions = _bounded_options


def _bounded_options(factory: Any, **options: Any) -> None:
    for name in ("maxMessagePayloadSize", "maxFramePayloadSize"):
        if name in options:
            options[name] = min(options[name] or MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES)
    super(ws_protocol.WebSocketFactory, factory).setProtocolOptions(**options)


def unsent_bytes(send: Any) -> int:
    """Return what waits for a slow reader at the other end of an ASGI `send` of daphne; 0 elsewhere."""
    protocol = send.args[0] if isinstance(send, partial) and send.args else None
    transport = getattr(protocol, "transport", None)
    while transport is not None and not hasattr(transport, "dataBuffer"):  # TLS is wrapped around it
        transport = getattr(transport, "transport", None)
    waiting = len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
    return max(0, waiting) + int(getattr(transport, "_tempDataLen", 0))


def once_running(begin: Callable[[], object]) -> None:
    """Have something begun on the server's event loop as soon as that runs."""
    running: Any = reactor
    running.callLater(0, begin)


def before_shutdown(stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have something finished before the server ends; called on its event loop."""

    def begin() -> "defer.Deferred[None]":
        return defer.Deferred.fromFuture(asyncio.ensure_future(stop()))

    running: Any = reactor  # Twisted's types do not know that the module is a reactor
    running.addSystemEventTrigger("before", "shutdown", begin)
