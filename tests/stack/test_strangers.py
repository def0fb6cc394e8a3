"""No port of any part answers somebody without its keys. Every port is found by looking, not by a list."""

import os
import socket
import ssl
import stat
import subprocess
from pathlib import Path

import httpx
import pytest

from project.bench.stack import EmbeddedStack
from project.embedded import seaweed
from tests.support.sockets import listening, unix_sockets

# What the parts of an open SeaweedFS would answer to anybody.
READS = (
    *(
        "/",
        "/status",
        "/healthz",
        "/stats/counter",
        "/stats/disk",
        "/ui/index.html",
        "/metrics",
        "/debug/pprof/",
    ),
    *(
        "/dir/status",
        "/dir/lookup?volumeId=1",
        "/vol/status",
        "/cluster/status",
        "/buckets/",
        "/buckets/parley/",
    ),
    *(
        "/buckets/parley/probe/writable",
        "/parley/probe/writable",
        "/parley?list-type=2",
        "/etc/iam/",
        "/1,01abcdef",
    ),
    *("/?Action=ListUsers&Version=2010-05-08", "/v1/audio/voices", "/health", "/v1/config"),
)
ASSIGNS = (
    "/dir/assign",
    "/dir/assign?count=1",
    "/vol/grow?count=1",
    "/submit",
    "/col/delete?collection=parley",
)
WRITES = ("/buckets/parley/stranger", "/parley/stranger", "/1,01abcdef", "/stranger", "/v1/audio/speech")
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@pytest.fixture(scope="module")
def ports(stack: EmbeddedStack) -> dict[int, str]:
    """Every listening port of every process of the stack but the web's, and whose it is."""
    names = {pid: name.rstrip("0123456789") for name, pid in stack.pids().items()}
    found = {
        port: names.get(pid, f"process {pid}") for pid in stack.everything() for _, port in listening(pid)
    }
    assert {"valkey", "storage", "speech", "web"} <= set(found.values())
    return {port: name for port, name in found.items() if name != "web"}


def test_everything_listens_on_loopback_alone(stack: EmbeddedStack) -> None:
    addresses = {address for pid in stack.everything() for address, _ in listening(pid)}
    assert addresses == {"127.0.0.1"}


def test_only_the_known_ports_are_open(stack: EmbeddedStack, ports: dict[int, str]) -> None:
    known = {port: name for name, port in stack.ports.items()}
    assert set(ports) <= set(known), {port: ports[port] for port in set(ports) - set(known)}
    assert len([name for name in ports.values() if name == "storage"]) == 8


# The S3 port says that it lives, and nothing else.
SIGN_OF_LIFE = ("/status", "/healthz")


def _refused(client: httpx.Client, method: str, url: str) -> bool:
    try:
        answer = client.request(method, url, content=b"x" if method in ("PUT", "POST") else None)
    except httpx.HTTPError:
        return True
    if answer.status_code == 200 and answer.request.url.path in SIGN_OF_LIFE:
        return method in ("GET", "HEAD") and not answer.content
    return answer.status_code in (400, 401, 403, 405)


def _speaks_tls(port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=3) as raw,
            context.wrap_socket(raw) as secure,
        ):
            # In TLS 1.3 a missing certificate is only complained about after the handshake.
            secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return bool(secure.recv(1))
    except OSError:
        return False


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nobody_reads_writes_or_deletes(ports: dict[int, str], scheme: str) -> None:
    asked = [("GET", path) for path in (*READS, *ASSIGNS)]
    asked += [("HEAD", path) for path in READS]
    asked += [("POST", path) for path in (*WRITES, *ASSIGNS)]
    asked += [(method, path) for method in ("PUT", "DELETE") for path in WRITES]
    tried = [port for port in ports if scheme == "http" or _speaks_tls(port)]
    with httpx.Client(verify=False, timeout=5) as client:
        answered = [
            f"{ports[port]} {method} {scheme}://127.0.0.1:{port}{path}"
            for port in tried
            for method, path in asked
            if not _refused(client, method, f"{scheme}://127.0.0.1:{port}{path}")
        ]
    assert answered == []


def _talks_grpc(connection: socket.socket) -> bool:
    """Whether the other side begins to speak HTTP/2 with us: then it would take gRPC calls."""
    connection.settimeout(3)
    try:
        connection.sendall(H2_PREFACE)
        answer = connection.recv(9)
    except OSError:
        return False
    return len(answer) == 9 and answer[3] == 4  # a SETTINGS frame


def test_grpc_wants_a_certificate(ports: dict[int, str]) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    open_ports = []
    for port, name in ports.items():
        with socket.create_connection(("127.0.0.1", port)) as plain:
            if _talks_grpc(plain):
                open_ports.append((name, port, "plain"))
        try:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=3) as raw,
                context.wrap_socket(raw, server_hostname="localhost") as secure,
            ):
                if _talks_grpc(secure):
                    open_ports.append((name, port, "tls"))
        except OSError:  # refused in the handshake, or no TLS at all
            continue
    assert open_ports == []


def test_the_servers_own_shell_gets_nowhere(stack: EmbeddedStack, tmp_path: Path) -> None:
    """As another user of the machine would run it: the same program without our certificates."""
    ports = stack.ports
    shell = subprocess.Popen(
        [
            *(seaweed.binary(), "shell"),
            f"-master=127.0.0.1:{ports['master']}.{ports['master.grpc']}",
            f"-filer=127.0.0.1:{ports['filer']}.{ports['filer.grpc']}",
        ],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        printed, _ = shell.communicate(b"volume.list\nfs.ls /buckets\ns3.bucket.list\ns3.configure\n", 8)
    except subprocess.TimeoutExpired:  # it waits for a master that does not talk to it
        shell.kill()
        printed, _ = shell.communicate()
    assert b"parley" not in printed
    assert b"DataCenter" not in printed


def test_valkey_wants_its_password(stack: EmbeddedStack) -> None:
    for command in (b"PING", b"INFO", b"KEYS *", b"SET stranger 1", b"CONFIG GET requirepass", b"AUTH wrong"):
        with socket.create_connection(("127.0.0.1", stack.ports["valkey"]), timeout=5) as connection:
            connection.sendall(command + b"\r\n")
            assert connection.recv(200).startswith((b"-NOAUTH", b"-WRONGPASS")), command


def test_sockets_in_the_file_system_are_for_their_owner(stack: EmbeddedStack) -> None:
    found = {path for pid in stack.everything() for path in unix_sockets(pid)}
    assert found
    for path in found:
        mode = stat.S_IMODE(path.stat().st_mode)
        closed_above = any(stat.S_IMODE(parent.stat().st_mode) & 0o077 == 0 for parent in path.parents)
        assert closed_above or not mode & 0o022, path


def test_nothing_secret_is_on_a_command_line(stack: EmbeddedStack) -> None:
    for pid in stack.everything():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        for name, secret in stack.secrets.items():
            assert secret not in words, (name, words)


def test_nothing_secret_is_in_a_log(stack: EmbeddedStack) -> None:
    for path in [*(stack.home / "logs").iterdir()]:
        text = path.read_text(errors="replace")
        for name, secret in stack.secrets.items():
            assert secret not in text, (name, path)


def test_what_the_stack_keeps_is_for_its_owner(stack: EmbeddedStack) -> None:
    assert stat.S_IMODE(stack.home.stat().st_mode) == 0o700
    for name in ("connection.json", "secrets.json"):
        assert stat.S_IMODE((stack.home / name).stat().st_mode) == 0o600
