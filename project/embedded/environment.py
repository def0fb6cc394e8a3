"""Who listens where, and what the parts are told about each other.

Every address may be given from outside (REDIS_URL, S3_ENDPOINT_URL, SPEECH_URL, DATABASE_URL, or the
same with _FILE); then that part is not started here.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from project.embedded import certificates
from project.embedded.errors import StackError
from project.embedded.home import Home
from project.embedded.models import model_workers
from project.embedded.ports import Ports
from project.embedded.seaweed import S3Front

LOOPBACK = "127.0.0.1"
FIGURES_PORT = ("METRICS_PORT", "METRICS_PORT_FILE")
"""For one process alone, which tells of all: a port cannot be everybody's."""
WILDCARDS = ("0.0.0.0", "::", "*", "")  # noqa: S104 - what people write for every address


@dataclass
class Plan:
    """Addresses of one stack, and the environment its parts run in."""

    home: Home
    ports: Ports
    secrets: dict[str, str]
    given: Mapping[str, str]
    host: str = LOOPBACK
    port: int = 0
    tls: bool = False
    public_url: str = ""
    certificate: tuple[Path, Path] | None = None
    redis_port: int | None = None
    s3: S3Front | None = None
    speech_port: int | None = None
    sensevoice: str = ""
    render_workers: int = 1
    live_workers: int = 2
    model_workers: list[tuple[str, list[str]]] = field(default_factory=list)
    web_processes: int = 2
    env: dict[str, str] = field(default_factory=dict)


def plan(home: Home, ports: Ports, given: Mapping[str, str]) -> Plan:
    """Decide every address, and hold the ports."""
    made = Plan(home, ports, home.secrets(), given)
    made.host = _host(given.get("HOST") or LOOPBACK)
    made.tls = _flag(given, "TLS")
    made.render_workers = _number(given, "RENDER_WORKERS", len(os.sched_getaffinity(0)))
    # Two of each: while one is being started again, the other one goes on.
    made.live_workers = _number(given, "LIVE_WORKERS", 2)
    made.web_processes = max(1, _number(given, "WEB_PROCESSES", 2))
    made.model_workers = model_workers(given)
    _plan_web(made)
    made.env = {**given, **_common(made)}
    for name in FIGURES_PORT:
        made.env.pop(name, None)
    _plan_redis(made)
    _plan_s3(made)
    _plan_speech(made)
    made.home.folder("static")  # settings.STATIC_ROOT; WhiteNoise complains where it is missing
    return made


def is_given(given: Mapping[str, str], name: str) -> bool:
    return bool(given.get(name) or given.get(f"{name}_FILE"))


def loopback_of(host: str) -> str:
    """The address on which we reach a part that listens on `host`."""
    return LOOPBACK if host == "0.0.0.0" else "::1" if host == "::" else host  # noqa: S104


def _plan_web(made: Plan) -> None:
    asked = _number(made.given, "PORT", 8000)
    if asked:
        made.port = made.ports.claim("web", asked, made.host, setting="PORT")
    else:
        made.port = made.ports.get("web", made.host)
    scheme = "https" if made.tls else "http"
    seen_as = _bracketed(_outside_name(made.host))
    made.public_url = (made.given.get("PUBLIC_URL") or f"{scheme}://{seen_as}:{made.port}").rstrip("/")
    if made.tls:
        names = {"localhost", LOOPBACK, _outside_name(made.host), urlsplit(made.public_url).hostname or ""}
        folder = made.home.folder("tls")
        made.certificate = certificates.self_signed(made.home, folder, names - {""})


def _common(made: Plan) -> dict[str, str]:
    """What is generated, unless it was given."""
    env = {"PARLEY_HOME": str(made.home.path), "HOST": made.host, "PORT": str(made.port)}
    env["PUBLIC_URL"] = made.public_url
    env["PYTHONUNBUFFERED"] = "1"
    for name in ("SECRET_KEY", "HEALTH_TOKEN", "METRICS_TOKEN"):
        if not is_given(made.given, name):
            env[name] = made.secrets[name.lower()]
    if not is_given(made.given, "METRICS_DIR"):
        env["METRICS_DIR"] = str(made.home.figures)
    if not made.given.get("ALLOWED_HOSTS"):
        env["ALLOWED_HOSTS"] = ",".join(_own_names(made.host))
    return env


def _plan_redis(made: Plan) -> None:
    if is_given(made.given, "REDIS_URL"):
        return
    made.redis_port = made.ports.get("valkey")
    made.env["REDIS_URL"] = f"redis://:{made.secrets['redis_password']}@{LOOPBACK}:{made.redis_port}/0"


def _plan_s3(made: Plan) -> None:
    if is_given(made.given, "S3_ENDPOINT_URL"):
        return
    public = made.given.get("S3_PUBLIC_ENDPOINT_URL", "")
    opened = made.host not in (LOOPBACK, "localhost", "::1")
    host = made.host if opened else LOOPBACK
    # Whoever named the public address with its port expects to find us there; a proxy of their own
    # that already sits on it is fine as well.
    port = _s3_port(made, host, urlsplit(public).port if public and opened else None)
    # Pages over HTTPS may show media over HTTP from loopback alone.
    secure = made.tls and opened
    https_port = made.ports.get("s3.https", host) if secure else None
    if secure and urlsplit(public).scheme == "https":
        port, https_port = made.ports.get("s3.plain", host), port
    made.s3 = S3Front(host, port, https_port, made.certificate if secure else None)
    made.env["S3_ENDPOINT_URL"] = f"http://{_bracketed(loopback_of(host))}:{port}"
    if not public:
        name = _bracketed(urlsplit(made.public_url).hostname or LOOPBACK) if opened else LOOPBACK
        public = f"https://{name}:{https_port}" if secure else f"http://{name}:{port}"
    made.env["S3_PUBLIC_ENDPOINT_URL"] = public
    made.env["S3_DATA_DIR"] = str(made.home.folder("seaweed/data"))
    made.env["S3_ACCESS_KEY_ID"] = made.secrets["s3_access_key_id"]
    made.env["S3_SECRET_ACCESS_KEY"] = made.secrets["s3_secret_access_key"]


def _s3_port(made: Plan, host: str, suggested: int | None) -> int:
    if asked := _number(made.given, "S3_PORT", 0):
        return made.ports.claim("s3", asked, host, setting="S3_PORT")
    if suggested:
        try:
            return made.ports.claim("s3", suggested, host, setting="S3_PUBLIC_ENDPOINT_URL")
        except StackError:
            pass  # somebody's proxy is there already
    return made.ports.get("s3", host)


def _plan_speech(made: Plan) -> None:
    made.sensevoice = _folder(made.given, "SENSEVOICE_FOLDER")
    if is_given(made.given, "SPEECH_URL"):
        return
    made.speech_port = made.ports.get("speech")
    made.env["SPEECH_URL"] = f"http://{LOOPBACK}:{made.speech_port}"
    made.env["SPEECH_API_KEY"] = made.secrets["speech_api_key"]
    if made.sensevoice and not is_given(made.given, "SENSEVOICE_BASE_URL"):
        made.env["SENSEVOICE_BASE_URL"] = made.env["SPEECH_URL"]
        made.env["SENSEVOICE_API_KEY"] = made.env["SPEECH_API_KEY"]


def _host(asked: str) -> str:
    return "0.0.0.0" if asked in ("*", "") else asked  # noqa: S104


def _outside_name(host: str) -> str:
    """How another machine would call this one."""
    if host not in WILDCARDS:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: this only asks which way it would go
            return str(probe.getsockname()[0])
        except OSError:  # no network at all
            return "localhost"


def _own_names(host: str) -> list[str]:
    names = ["localhost", LOOPBACK, "[::1]"]
    if host not in (LOOPBACK, "localhost"):
        names += [_bracketed(_outside_name(host)), socket.gethostname()]
    return list(dict.fromkeys(names))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _flag(given: Mapping[str, str], name: str) -> bool:
    raw = (given.get(name) or "0").lower()
    if raw not in ("0", "1", "true", "false"):
        raise StackError(f"{name} is {raw!r}; use 1 or 0")
    return raw in ("1", "true")


def _folder(given: Mapping[str, str], name: str) -> str:
    """A folder that is there; "" where none is named."""
    if (path := given.get(name, "")) and not Path(path).is_dir():
        raise StackError(f"{name} is no folder: {path}")
    return path


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    raw = given.get(name) or str(default)
    if not raw.isdigit() or int(raw) > 65535:
        raise StackError(f"{name} is {raw!r}; a whole number up to 65535 is needed")
    return int(raw)
