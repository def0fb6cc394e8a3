"""What rtc/transport.py leans on inside aiortc and aioice: fails loudly when another version differs."""

import asyncio
import inspect
from importlib.metadata import version

import aioice
import aiortc.rtcdtlstransport
import aiortc.rtcicetransport
import pytest
from aioice.ice import CandidatePair, StunProtocol

from rtc.ice import IceConfig
from rtc.transport import MAX_WAITING, Gatherer, IceConnection, MediaTransport, certificate

ADVICE = "read rtc/transport.py against the new aiortc before changing this"


class Nobody:
    def rtp_received(self, packet: bytes) -> None: ...

    def rtcp_received(self, packet: bytes) -> None: ...


def test_these_are_the_versions_that_were_read() -> None:
    assert version("aiortc") == "1.16.0", ADVICE
    assert version("aioice") == "0.13.0", ADVICE


async def test_the_dtls_transport_keeps_its_keys_where_we_look_for_them() -> None:
    transport = MediaTransport(IceConnection(IceConfig(), "ses_1"), Nobody())
    assert transport._tx_srtp is None, ADVICE
    assert transport._rx_srtp is None, ADVICE
    source = inspect.getsource(aiortc.rtcdtlstransport.RTCDtlsTransport)
    for leaned_on in (
        "self._rx_srtp = Session(rx_policy)",
        "self._tx_srtp = Session(tx_policy)",
        "await self._handle_rtcp_data(data)",
        "await self._handle_rtp_data(data, arrival_time_ms=arrival_time_ms)",
        'self.emit("statechange")',
        "def _set_role(self, role: str)",
    ):
        assert leaned_on in source, f"{leaned_on}: {ADVICE}"
    await transport.close()


async def test_the_ice_transport_uses_the_connection_we_give_it() -> None:
    connection = IceConnection(IceConfig(), "ses_1")
    transport = MediaTransport(connection, Nobody())
    assert transport.transport._connection is connection, ADVICE
    assert transport.transport._recv == connection.recv, ADVICE
    assert Gatherer(connection)._connection is connection
    await transport.close()


async def test_the_connection_hands_datagrams_and_checks_where_we_take_them() -> None:
    connection = IceConnection(IceConfig(), "ses_1")
    assert "self.receiver.data_received(data, self.local_candidate.component)" in inspect.getsource(
        StunProtocol.datagram_received
    ), ADVICE
    assert "self.receiver.request_received(message, addr, self)" in inspect.getsource(
        StunProtocol.datagram_received
    ), ADVICE
    gather = inspect.getsource(aioice.Connection.gather_candidates)
    for attribute in ("_local_candidates_start", "_local_candidates_end", "_local_candidates"):
        assert attribute in gather, ADVICE
        assert hasattr(connection, attribute), ADVICE
    assert connection._nominated == {}, ADVICE
    assert connection._protocols == [], ADVICE
    assert connection._queue.qsize() == 0, ADVICE
    assert isinstance(CandidatePair.remote_addr, property), ADVICE
    await connection.close()


async def test_strangers_cannot_fill_the_memory_before_the_handshake() -> None:
    connection = IceConnection(IceConfig(), "ses_1")
    for _ in range(10 * MAX_WAITING):
        connection.data_received(b"\x16rubbish", 1)
        connection.data_received(b"\x80rubbish", 1)
    assert connection._queue.qsize() <= MAX_WAITING
    await connection.close()


async def test_media_that_came_with_the_handshake_is_taken_in_order_and_the_handshake_left() -> None:
    connection = IceConnection(IceConfig(), "ses_1")
    for data in (b"\x80first", b"\x16hello", b"\x80second"):
        connection.data_received(data, 1)
    assert connection.take_waiting_media() == [b"\x80first", b"\x80second"]
    assert connection._queue.get_nowait() == (b"\x16hello", 1)
    await connection.close()


async def test_sending_without_a_path_drops() -> None:
    transport = MediaTransport(IceConnection(IceConfig(), "ses_1"), Nobody())
    assert not transport.send(bytes(20))
    assert not transport.send_control(bytes(20))
    await transport.close()


def test_a_process_has_one_certificate() -> None:
    assert certificate() is certificate()


class Plain:
    """Keys that leave packets as they are."""

    def protect(self, packet: bytes) -> bytes:
        return packet


async def test_a_packet_is_dropped_when_ice_closed_its_socket_under_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = IceConnection(IceConfig(host_addresses=("127.0.0.1",)), "ses_1")
    await connection.gather_candidates()
    (protocol,) = connection._protocols
    transport = MediaTransport(connection, Nobody())
    monkeypatch.setattr(transport, "_tx_srtp", Plain())
    monkeypatch.setattr(connection, "path", lambda: (protocol, ("127.0.0.1", 9)))
    monkeypatch.setattr(type(transport), "state", "connected")
    assert transport.send(b"packet") is True
    protocol.transport.close()  # as when the client's consent ran out
    await asyncio.sleep(0)
    assert transport.send(b"packet") is False
    assert transport.packets_sent == 1
