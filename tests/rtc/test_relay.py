"""Clients that reach us through a TURN server only."""

from collections.abc import Iterator

import pytest
from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection

from rtc.ice import IceConfig
from rtc.peer import Peer
from tests.support.coturn import Coturn, coturn
from tests.support.rtc import Client, Told, connected, playing


@pytest.fixture(scope="module")
def turn() -> Iterator[Coturn]:
    with coturn() as server:
        yield server


def relayed(servers: list[dict[str, object]]) -> Client:
    """A client with the ICE servers we tell browsers about, which uses nothing but relays."""
    client = Client()
    client.use(
        RTCPeerConnection(
            RTCConfiguration(
                iceServers=[RTCIceServer(**server) for server in servers],  # type: ignore[arg-type]
                iceTransportPolicy=RTCIceTransportPolicy.RELAY,
            )
        )
    )
    return client


async def test_a_client_behind_a_relay_sees_and_hears(turn: Coturn) -> None:
    client = relayed(turn.config().servers_for("ses_1"))
    async with connected(client=client, ice=turn.config()) as (peer, _, _), playing(peer):
        assert "typ relay" in client.offered
        assert "typ host" not in client.offered
        assert len(await client.receive("video", 10)) >= 10
        assert len(await client.receive("audio", 10)) >= 10
        assert peer.stats().path in ("relay", "prflx")
    assert "ses_1" in turn.log(), "the relay was used under the session's name"


async def test_expired_credentials_open_no_relay(turn: Coturn) -> None:
    client = relayed(turn.config(ttl=-10).servers_for("ses_2"))
    offer = await client.offer()
    assert "typ relay" not in offer
    await client.close()


async def test_a_server_may_offer_a_relay_of_its_own(turn: Coturn) -> None:
    config = turn.config()
    ours = IceConfig(turn_urls=config.turn_urls, turn_secret=config.turn_secret, ttl=600, relay=True)
    client = Client()
    peer = await Peer.answer(await client.offer(), ice=ours, on_event=Told(), user="ses_3")
    assert "typ relay" in peer.answer_sdp
    await client.close()
    await peer.close()
