"""A bad network for one connection: a UDP relay that loses, delays and cuts, in both directions.

    async with LossyPath(Line(loss=0.05, delay_ms=100)) as path:
        client = LiveClient(..., path=path)

The client's offer loses its addresses and the server's answer gets the relay's, so that every packet
goes through here. Runs on the event loop of the client.
"""

import asyncio
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rtc.ice import IceConfig, host_addresses

CANDIDATE = re.compile(r"^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ (\S+).*$", re.MULTILINE | re.IGNORECASE)


@dataclass
class Line:
    """One direction. `loss` is a part (0..1), or a function of the packet's number that says what is lost.

    `delay_ms` is one way; `jitter_ms` at most more. `cut` loses everything while it is set.
    """

    loss: float | Callable[[int], bool] = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    cut: bool = False
    seed: int = 1
    passed: int = field(default=0, init=False)
    lost: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def loses(self) -> bool:
        number = self.passed + self.lost
        gone = self.loss(number) if callable(self.loss) else self._random.random() < self.loss
        gone = gone or self.cut
        self.lost += gone
        self.passed += not gone
        return gone

    def seconds(self) -> float:
        return (self.delay_ms + self._random.random() * self.jitter_ms) / 1000


class _End(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, Any], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._received(data, addr)


class LossyPath:
    """The relay between one client and one peer; again for each fresh peer (`answer`)."""

    def __init__(self, down: Line | None = None, up: Line | None = None) -> None:
        self.down = down or Line()  # from the server
        self.up = up or Line(seed=2)
        self._front: asyncio.DatagramTransport | None = None
        self._back: asyncio.DatagramTransport | None = None
        self._client: Any = None
        self._server: Any = None
        self._address = next(each for each in host_addresses(IceConfig()) if "." in each)

    async def __aenter__(self) -> Self:
        self._front = await self._open(self._from_client)
        self._back = await self._open(self._from_server)
        return self

    async def _open(self, received: Callable[[bytes, Any], None]) -> asyncio.DatagramTransport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _End(received), local_addr=(self._address, 0)
        )
        return transport

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for transport in (self._front, self._back):
            if transport is not None:
                transport.abort()
        self._front = self._back = None

    # --- Descriptions -------------------------------------------------------------------------

    def offer(self, sdp: str) -> str:
        """An offer without addresses: the server shall learn of the client through the relay only."""
        return re.sub(r"^a=candidate:.*\r?\n", "", sdp, flags=re.MULTILINE)

    def answer(self, sdp: str) -> str:
        """An answer whose only address is the relay's."""
        assert self._front is not None
        found = [match for match in CANDIDATE.finditer(sdp) if "." in match[1] and match[3] == "host"]
        assert found, "the answer has no IPv4 address of its own"
        self._server, self._client = (found[0][1], int(found[0][2])), None
        host, port = self._front.get_extra_info("sockname")
        ours = f"a=candidate:relay 1 udp 2130706431 {host} {port} typ host"
        without = re.sub(r"^a=candidate:.*\r?\n", "", sdp, flags=re.MULTILINE)
        return without.replace("a=ice-ufrag:", f"{ours}\r\na=ice-ufrag:")

    # --- Packets ------------------------------------------------------------------------------

    def _from_client(self, data: bytes, address: Any) -> None:
        self._client = address
        if self._server is not None:
            self._pass(self.up, lambda: self._back, data, self._server)

    def _from_server(self, data: bytes, address: Any) -> None:
        if self._client is not None and address == self._server:
            self._pass(self.down, lambda: self._front, data, self._client)

    def _pass(
        self, line: Line, way: Callable[[], asyncio.DatagramTransport | None], data: bytes, to: Any
    ) -> None:
        if line.loses():
            return

        def send() -> None:
            if (transport := way()) is not None:
                transport.sendto(data, to)

        if (seconds := line.seconds()) > 0:
            asyncio.get_running_loop().call_later(seconds, send)
        else:
            send()
