"""One WebSocket to a model's server, for code that blocks: every step ends within its time.

A thread of the library reads along, so that the server's pings are answered while nobody speaks.
"""

import logging
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import ClientConnection, connect

from workers.adapters.avatar.remote.faults import broken, fault
from workers.adapters.avatar.remote.framing import MAX_MESSAGE_BYTES
from workers.adapters.endpoint import tls
from workers.adapters.errors import AdapterError

PING_SECONDS, PONG_SECONDS = 20, 180  # a server that computes answers late
SEND_SECONDS = 15
_BUFFER = 4 * 1024 * 1024
_TOO_BIG = 1009

# The library writes headers and addresses to its log. A logger that nobody can find stays off.
_SILENT = logging.Logger("workers.adapters.avatar.remote.socket")  # noqa: LOG001
_SILENT.disabled = True


class Socket:
    """An open connection. Not thread-safe."""

    def __init__(self, connection: ClientConnection, provider: str) -> None:
        self._connection, self._provider = connection, provider

    def send(self, message: str | bytes) -> None:
        """Raises `Broken` where the server went, or takes nothing for `SEND_SECONDS`."""
        try:
            self._connection.send(message)
        except (ConnectionClosed, OSError):
            raise broken("model_unreachable", "The model's server hung up.", self._provider) from None

    def receive(self, seconds: float) -> str | bytes:
        """The next message. Raises `Broken` at an end, `AdapterError` (`model_timeout`)."""
        try:
            return self._connection.recv(seconds)
        except TimeoutError:
            message = "The model's server did not answer in time."
            raise fault("model_timeout", message, self._provider) from None
        except ConnectionClosed as exc:
            raise self._gone(exc) from None

    def close(self, seconds: float) -> None:
        """Shake hands, at most so long; never raises."""
        self._connection.close_timeout = seconds
        with suppress(Exception):  # whatever ends badly is over all the same
            self._connection.close()
        self.abort()

    def abort(self) -> None:
        """Cut the connection off."""
        with suppress(OSError):
            self._connection.close_socket()

    def _gone(self, exc: ConnectionClosed) -> AdapterError:
        if exc.sent is not None and exc.sent.code == _TOO_BIG:
            return fault("frames_malformed", "The model's answer is too long.", self._provider)
        return broken("model_unreachable", "The model's server hung up.", self._provider)


def opened(url: str, headers: Mapping[str, str], seconds: float, provider: str) -> Socket:
    """Connect and shake hands. Raises `AdapterError`: `model_unreachable`, `model_rejected`."""
    try:
        line = _dialled(url, seconds)
    except (OSError, ValueError):
        raise fault("model_unreachable", "The model's server cannot be reached.", provider) from None
    try:
        return Socket(_shaken(line, url, headers, seconds), provider)
    except BaseException as exc:  # noqa: BLE001 - judged below
        line.close()
        raise _judged(exc, provider) from None


def _dialled(url: str, seconds: float) -> socket.socket:
    """A socket of our own: nobody else than the one we were told to ask gets the key by a redirect."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    line = socket.create_connection((parts.hostname or "", port), timeout=seconds)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_SECONDS, 0))
    return line


def _shaken(line: socket.socket, url: str, headers: Mapping[str, str], seconds: float) -> ClientConnection:
    return connect(
        url,
        sock=line,
        ssl=tls() if urlsplit(url).scheme == "wss" else None,
        additional_headers=dict(headers),
        compression=None,
        proxy=None,
        open_timeout=seconds,
        ping_interval=PING_SECONDS,
        ping_timeout=PONG_SECONDS,
        max_size=MAX_MESSAGE_BYTES,
        logger=_SILENT,
        legacy=True,  # a connection that outlives this call
    )


def _judged(exc: BaseException, provider: str) -> BaseException:
    if isinstance(exc, InvalidStatus):
        status = exc.response.status_code
        if status in {401, 403, 404}:  # 403 is also what some say of a path that they do not know
            message = f"The model's server does not know this path, or not our key ({status})."
            return fault("model_rejected", message, provider)
        return fault("model_unreachable", f"The model's server answered {status}.", provider)
    if isinstance(exc, InvalidURI):
        return fault("model_rejected", "The model's address is no WebSocket's.", provider)
    if isinstance(exc, OSError | EOFError | InvalidHandshake):  # TimeoutError is an OSError
        return fault("model_unreachable", "The model's server speaks no WebSocket.", provider)
    return exc
