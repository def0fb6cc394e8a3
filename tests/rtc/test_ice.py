"""Addresses, ports, and credentials."""

import base64
import hashlib
import hmac
import socket
from typing import Any

import pytest

from rtc.ice import IceConfig, announced, host_addresses, ports, server
from rtc.transport import IceConnection

TURN = IceConfig(
    stun_urls=("stun:stun.example.com:3478",),
    turn_urls=("turn:turn.example.com:3478?transport=udp", "turns:turn.example.com:443?transport=tcp"),
    turn_secret="north",
    ttl=600,
)


def test_credentials_follow_the_turn_rest_convention() -> None:
    stun, turn = TURN.servers_for("ses_1", now=lambda: 1_700_000_000.7)
    assert stun == {"urls": ["stun:stun.example.com:3478"]}
    assert turn["username"] == "1700000600:ses_1"
    digest = hmac.new(b"north", b"1700000600:ses_1", hashlib.sha1).digest()
    assert turn["credential"] == base64.b64encode(digest).decode()
    assert turn["urls"] == list(TURN.turn_urls)


def test_without_configuration_there_are_no_servers_least_of_all_public_ones() -> None:
    assert IceConfig().servers_for("ses_1") == []


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("stun:stun.example.com", ("stun.example.com", 3478)),
        ("stun:stun.example.com:19302", ("stun.example.com", 19302)),
        ("turn:192.0.2.1:3479?transport=tcp", ("192.0.2.1", 3479)),
        ("turns:turn.example.com", ("turn.example.com", 5349)),
    ],
)
def test_urls_are_read(url: str, place: tuple[str, int]) -> None:
    assert server(url) == place


def test_other_urls_are_refused() -> None:
    with pytest.raises(ValueError, match="STUN"):
        server("https://example.com")


class Adapter:
    def __init__(self, name: str, *addresses: Any) -> None:
        self.name = name
        self.ips = [type("Ip", (), {"ip": address})() for address in addresses]


def test_only_addresses_that_a_client_can_reach_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    adapters = [
        Adapter("lo", "127.0.0.1", ("::1", 0, 0)),
        Adapter("eth0", "198.51.100.4", ("2001:db8::4", 0, 0), ("fe80::1", 0, 2)),
        Adapter("eth1", "169.254.10.1"),
        Adapter("docker0", "172.17.0.1"),
        Adapter("br-0a1b2c", "172.18.0.1"),
        Adapter("veth12", "10.9.9.9"),
    ]
    monkeypatch.setattr("rtc.ice.ifaddr.get_adapters", lambda: adapters)
    assert host_addresses(IceConfig()) == ["198.51.100.4", "2001:db8::4"]
    assert host_addresses(IceConfig(host_addresses=("10.0.0.1",))) == ["10.0.0.1"]
    monkeypatch.setattr("rtc.ice.ifaddr.get_adapters", lambda: adapters[:1])
    assert host_addresses(IceConfig()) == ["127.0.0.1"], "better than nothing on a machine without network"


def test_a_public_address_stands_for_the_private_one() -> None:
    config = IceConfig(announced_address="203.0.113.9")
    assert announced(config, "10.0.0.5") == "203.0.113.9"
    assert announced(config, "2001:db8::4") == "2001:db8::4"


def test_every_port_of_a_range_is_tried_once() -> None:
    assert sorted(ports(IceConfig(ports=(5000, 5009)))) == list(range(5000, 5010))
    assert list(ports(IceConfig())) == [0]


async def test_candidates_have_the_configured_ports_and_address() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        first = taken.getsockname()[1]
        config = IceConfig(
            host_addresses=("127.0.0.1",), announced_address="203.0.113.9", ports=(first, first + 1)
        )
        connection = IceConnection(config, "ses_1")
        await connection.gather_candidates()
        (line,) = connection.candidate_lines()
        await connection.close()
    assert line.split()[4:6] == ["203.0.113.9", str(first + 1)], "the port that was free"


async def test_a_stun_server_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtc.transport.GATHER_SECONDS", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        url = f"stun:127.0.0.1:{deaf.getsockname()[1]}"
        connection = IceConnection(IceConfig(host_addresses=("127.0.0.1",), stun_urls=(url,)), "ses_1")
        await connection.gather_candidates()
        assert [candidate.type for candidate in connection.local_candidates] == ["host"]
        await connection.close()
