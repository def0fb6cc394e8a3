import socket

import pytest

from project.embedded.errors import StackError
from project.embedded.home import Home
from project.embedded.ports import FIRST, LAST, Ports


def _listen(port: int) -> socket.socket:
    """As the parts do it: with SO_REUSEADDR."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    server.listen()
    return server


def test_a_restart_keeps_its_ports(home: Home, ports: Ports) -> None:
    before = {name: ports.get(name) for name in ("valkey", "s3", "web")}
    ports.release()
    again = Ports(home)
    assert {name: again.get(name) for name in before} == before
    again.release()


def test_every_name_has_its_own_port_outside_the_ephemeral_range(ports: Ports) -> None:
    chosen = [ports.get(f"part{number}") for number in range(20)]
    assert len(set(chosen)) == 20
    assert all(FIRST <= port < LAST for port in chosen)


def test_a_port_somebody_took_meanwhile_is_given_up(home: Home, ports: Ports) -> None:
    taken = ports.get("valkey")
    ports.release()
    with _listen(taken):
        again = Ports(home)
        assert again.get("valkey") != taken
        again.release()


def test_a_part_can_listen_on_a_port_we_hold(ports: Ports) -> None:
    with _listen(ports.get("valkey")):
        pass


def test_a_stranger_cannot_take_a_port_we_hold(ports: Ports) -> None:
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", ports.get("valkey")))


def test_a_chosen_port_that_is_taken_is_an_error_that_says_what_to_do(ports: Ports) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(StackError, match=rf"PORT={taken} cannot be used.*PORT=0"):
            ports.claim("web", taken, "127.0.0.1", setting="PORT")


def test_a_listening_port_takes_callers_before_its_part_is_there(ports: Ports) -> None:
    port = ports.get("web")
    listening = ports.listen("web")
    assert listening.get_inheritable()
    with socket.create_connection(("127.0.0.1", port)):
        pass
