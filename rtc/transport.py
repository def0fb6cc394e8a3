"""One encrypted path to a client: aiortc's ICE and DTLS, with a short way in and out for media.

This is the only module that leans on what aiortc and aioice keep to themselves (names with an
underscore). aiortc is pinned for it, and tests/rtc/test_transport.py fails loudly when it changes.

Compared with aiortc's own path a packet meets no task, no queue and no coroutine: out it is
encrypted and given to the socket, in it is decrypted in the socket's callback.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import aioice
import pylibsrtp
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, relayed_candidate, server_reflexive_candidate
from aiortc import RTCCertificate, RTCIceGatherer, RTCIceTransport
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceParameters
from aiortc.rtp import is_rtcp

from rtc.ice import IceConfig, announced, host_addresses, ports, server
from rtc.sdp import Offer, RemoteCandidate

GATHER_SECONDS = 1.0  # for a STUN or TURN server that does not answer
MAX_WAITING = 100  # datagrams kept for the handshake
CERTIFICATE_SECONDS = 24 * 3600

# At its usual level aioice writes down the address of every customer.
logging.getLogger("aioice").setLevel(logging.WARNING)


class MediaHandler(Protocol):
    """Who takes the decrypted packets. Called on the event loop, must not block."""

    def rtp_received(self, packet: bytes) -> None: ...

    def rtcp_received(self, packet: bytes) -> None: ...


class IceConnection(aioice.Connection):
    """An ICE connection that gathers by our configuration and gives media straight to its taker."""

    def __init__(self, config: IceConfig, user: str) -> None:
        super().__init__(ice_controlling=False)
        self.heard_at = time.monotonic()
        self.media: Callable[[bytes], None] | None = None
        self._config = config
        self._user = user

    def data_received(self, data: bytes, component: int) -> None:
        """Called by the socket's protocol for everything that is not STUN, whoever sent it."""
        self.heard_at = time.monotonic()
        if self.media is not None and _is_media(data):
            self.media(data)
        elif data and self._queue.qsize() < MAX_WAITING:
            super().data_received(data, component)

    def take_waiting_media(self) -> list[bytes]:
        """Take the media that came while the handshake was still going on, in order."""
        waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for item in waiting:
            if item is None or not _is_media(item[0]):
                self._queue.put_nowait(item)
        return [item[0] for item in waiting if item is not None and _is_media(item[0])]

    def request_received(self, *arguments: Any) -> None:
        self.heard_at = time.monotonic()
        super().request_received(*arguments)

    async def gather_candidates(self) -> None:
        if self._local_candidates_start:
            return
        self._local_candidates_start = True
        hosts = [
            protocol for address in host_addresses(self._config) if (protocol := await self._bind(address))
        ]
        self._protocols += hosts
        self._local_candidates += [protocol.local_candidate for protocol in hosts]
        await self._ask_servers(hosts)
        self._local_candidates_end = True

    async def _bind(self, address: str) -> StunProtocol | None:
        loop = asyncio.get_running_loop()
        for port in ports(self._config):
            with suppress(OSError):
                transport, protocol = await loop.create_datagram_endpoint(
                    lambda: StunProtocol(self), local_addr=(address, port)
                )
                bound = transport.get_extra_info("sockname")
                protocol.local_candidate = _candidate("host", bound[0], bound[1])
                return protocol
        return None

    async def _ask_servers(self, hosts: list[StunProtocol]) -> None:
        asked: list[asyncio.Task[Any]] = []
        if self._config.stun_urls:
            stun = server(self._config.stun_urls[0])
            asked += [
                asyncio.create_task(server_reflexive_candidate(protocol, stun))
                for protocol in hosts
                if "." in protocol.local_candidate.host
            ]
        if self._config.relay and self._config.turn_urls:
            asked.append(asyncio.create_task(self._relay(self._config.turn_urls[0])))
        if not asked:
            return
        done, late = await asyncio.wait(asked, timeout=GATHER_SECONDS)
        for task in late:
            task.cancel()
        for task in done:
            if task.exception() is None:
                candidate, protocol = task.result()
                self._local_candidates.append(candidate)
                self._protocols += [protocol] if protocol is not None else []

    async def _relay(self, url: str) -> tuple[Candidate, StunProtocol]:
        username, password = self._config.turn_credentials(self._user)
        return await relayed_candidate(
            component=1,
            hide_related_address=False,
            protocol_factory=lambda: StunProtocol(self),
            turn_server=server(url),
            turn_username=username,
            turn_password=password,
            turn_ssl=url.startswith("turns:"),
            turn_transport="tcp" if url.endswith("transport=tcp") or url.startswith("turns:") else "udp",
        )

    def candidate_lines(self) -> tuple[str, ...]:
        """Our candidates as SDP values, as the world should see them."""
        return tuple(self._line(candidate) for candidate in self.local_candidates)

    def _line(self, candidate: Candidate) -> str:
        if candidate.type != "host":
            return candidate.to_sdp()
        seen = _candidate("host", announced(self._config, candidate.host), candidate.port)
        return seen.to_sdp()

    async def add(self, candidate: RemoteCandidate) -> None:
        await self.add_remote_candidate(
            Candidate(
                foundation=candidate.foundation,
                component=1,
                transport="udp",
                priority=candidate.priority,
                host=candidate.host,
                port=candidate.port,
                # aioice refuses candidates signalled as peer-reflexive.
                type="srflx" if candidate.kind == "prflx" else candidate.kind,
            )
        )

    def chosen(self) -> str:
        """The kind of the client's address that ICE chose: host, srflx, prflx, relay; empty before."""
        pair = self._nominated.get(1)
        return pair.remote_candidate.type if pair is not None else ""

    def path(self) -> tuple[StunProtocol, tuple[str, int]] | None:
        """The socket and remote address that ICE chose, or None before it did."""
        pair = self._nominated.get(1)
        return (pair.protocol, pair.remote_addr) if pair is not None else None


def _is_media(data: bytes) -> bool:
    """RTP or RTCP, by its first octet (RFC 7983)."""
    return bool(data) and 127 < data[0] < 192


def _candidate(kind: str, host: str, port: int) -> Candidate:
    return Candidate(
        foundation=candidate_foundation(kind, "udp", host),
        component=1,
        transport="udp",
        priority=candidate_priority(1, kind),
        host=host,
        port=port,
        type=kind,
    )


class Gatherer(RTCIceGatherer):
    """aiortc's gatherer around our own connection; never its default public STUN server."""

    def __init__(self, connection: IceConnection) -> None:
        super().__init__(iceServers=[])
        self._connection: IceConnection = connection


# The socket, where it sends to, and whether it is closed.
Path = tuple[Any, tuple[str, int], Callable[[], bool]]


def _never() -> bool:
    return False


class MediaTransport(RTCDtlsTransport):
    """aiortc's DTLS transport with the short way for media."""

    def __init__(self, connection: IceConnection, handler: MediaHandler) -> None:
        super().__init__(RTCIceTransport(Gatherer(connection)), [certificate()])
        self.connection = connection
        self.packets_sent = 0
        self.bytes_sent = 0
        self._handler: MediaHandler | None = handler
        self._path: Path | None = None
        self.on("statechange", self._state_changed)

    def fingerprint(self) -> str:
        """Our certificate's digest, as in SDP."""
        digests = self.getLocalParameters().fingerprints
        return next(f"{each.algorithm} {each.value}" for each in digests if each.algorithm == "sha-256")

    async def connect(self, offer: Offer) -> bool:
        """Find a path to whoever made this offer and agree on keys; False when that failed."""
        self._set_role("client" if offer.setup == "active" else "server")
        remote = RTCIceParameters(offer.transport.ice_ufrag, offer.transport.ice_pwd, offer.ice_lite)
        await self.transport.start(remote)
        if self.transport.state != "completed":
            return False
        fingerprints = [RTCDtlsFingerprint(algorithm, value) for algorithm, value in offer.fingerprints]
        await self.start(RTCDtlsParameters(fingerprints=fingerprints))
        return self.state == "connected"

    def _state_changed(self) -> None:
        if self.state == "connected":
            self._path = None
            for data in self.connection.take_waiting_media():
                self._media(data)
            self.connection.media = self._media
        else:
            self.connection.media = None
            self._path = None

    def send(self, packet: bytes) -> bool:
        """Encrypt and send one RTP packet; False when it was dropped (no path, or a full socket)."""
        return self._send_protected(packet, rtcp=False)

    def send_control(self, packet: bytes) -> bool:
        """Encrypt and send one compound RTCP packet."""
        return self._send_protected(packet, rtcp=True)

    def _send_protected(self, packet: bytes, *, rtcp: bool) -> bool:
        session = self._tx_srtp
        path = self._path or self._find_path()
        # ICE closes its socket when the client is gone, before it tells anybody; a closed one raises.
        if session is None or path is None or path[2]():
            return False
        try:
            data = session.protect_rtcp(packet) if rtcp else session.protect(packet)
        except (pylibsrtp.Error, ValueError):
            return False
        path[0].sendto(data, path[1])
        self.packets_sent += 1
        self.bytes_sent += len(data)
        return True

    def _find_path(self) -> Path | None:
        if self.state != "connected" or (path := self.connection.path()) is None:
            return None
        protocol, address = path
        # That of a relay has no such question: it takes what it cannot send, and says nothing.
        closed = getattr(protocol.transport, "is_closing", _never)
        self._path = (protocol.transport, address, closed)
        return self._path

    def check_path(self) -> None:
        """Follow ICE to another pair of addresses. Call it now and then."""
        self._path = None

    def _media(self, data: bytes) -> None:
        session, handler = self._rx_srtp, self._handler
        if session is None or handler is None:
            return
        with suppress(pylibsrtp.Error, ValueError):
            if is_rtcp(data):
                handler.rtcp_received(session.unprotect_rtcp(data))
            else:
                handler.rtp_received(session.unprotect(data))

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:  # noqa: ARG002 - aiortc's
        """Media that arrived with the handshake, through aiortc's queue."""
        if self._handler is not None:
            self._handler.rtp_received(data)

    async def _handle_rtcp_data(self, data: bytes) -> None:
        if self._handler is not None:
            self._handler.rtcp_received(data)

    async def close(self) -> None:
        """Say goodbye to the client and close the sockets."""
        self.connection.media = None
        self._handler = None
        await self.stop()
        await self.transport.stop()
        self._path = None
        self.remove_all_listeners()


_certificate: tuple[float, RTCCertificate] | None = None


def certificate() -> RTCCertificate:
    """One self-signed certificate for a day: it identifies this process within each offer and answer."""
    global _certificate  # noqa: PLW0603 - the process's own identity
    if _certificate is None or time.monotonic() - _certificate[0] > CERTIFICATE_SECONDS:
        _certificate = (time.monotonic(), RTCCertificate.generateCertificate())
    return _certificate[1]
