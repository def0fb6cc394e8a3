"""What is measured: a stack of the run's own with providers of known delays, or a running service.

with target.opened(options, config) as service:
    service.client.get("/api/v1/models")
    service.pids()          # {} where its processes are on another machine
"""

import json
import os
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from project.bench.config import Common, Config
from project.bench.errors import BenchError
from project.bench.providers import Providers
from project.bench.stack import EmbeddedStack
from project.embedded.stack import ROOT

HTTP_SECONDS = 60.0
# A measurement is not a customer: nothing of it may be refused as too much, or end because it is slow.
ENVIRONMENT = {
    "BUILTIN_AVATARS": "none",
    "LIVE_IDLE_TIMEOUT_SECONDS": "3600",
    "LIVE_MAX_DURATION_SECONDS": "86400",
    "ALLOWANCE_CONCURRENT_SESSIONS": "1000",
    "ALLOWANCE_CLIPS_IN_FLIGHT": "10000",
    "ALLOWANCE_LIVE_SLOTS": "0",
    "ALLOWANCE_SESSION_MINUTES_A_DAY": "100000",
    "ALLOWANCE_VIDEO_SECONDS_A_DAY": "10000000",
    "ALLOWANCE_REQUESTS_A_MINUTE": "100000",
}


@dataclass
class Target:
    """A service, and what of it can be seen from here.

    `stack` is there where the run started it itself; `home` where its processes are on this machine.
    """

    base_url: str
    api_key: str
    home: Path | None = None
    stack: EmbeddedStack | None = None
    stub: Providers | None = None
    startup_ms: float | None = None

    @property
    def client(self) -> httpx.Client:
        """A new client with the key; close it, or use it in a `with` block."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        verify = not _on_this_machine(self.base_url)  # certificates of our own making
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=HTTP_SECONDS, verify=verify)

    def pids(self) -> dict[str, int]:
        """The process of each part, such as "web1", "render1", "valkey"."""
        if self.home is None:
            return {}
        with suppress(FileNotFoundError):
            parts = json.loads((self.home / "run" / "status.json").read_text(encoding="utf-8"))["parts"]
            return {name: state["pid"] for name, state in parts.items() if state["pid"]}
        return {}

    @property
    def metrics_token(self) -> str:
        """What opens /metrics; "" where we do not have it."""
        if self.home is None:
            return os.environ.get("METRICS_TOKEN", "")
        secrets = json.loads((self.home / "secrets.json").read_text(encoding="utf-8"))
        return str(secrets.get("metrics_token", ""))


@contextmanager
def opened(
    options: Namespace, config: Config, *, environment: Mapping[str, str] | None = None
) -> Iterator[Target]:
    """The service that the options name, or a new stack that ends with the block."""
    if options.attach is not None:
        yield attached(options.attach, options.api_key)
        return
    with started(config.common, environment=environment) as target:
        yield target


def attached(address: str, api_key: str = "") -> Target:
    """A running service: its address, the folder of its state, or "" for the one in this checkout."""
    if urlsplit(address).scheme in ("http", "https"):
        key = api_key or os.environ.get("PARLEY_API_KEY", "")
        if not key:
            raise BenchError("A key is needed: --api-key, or PARLEY_API_KEY in the environment")
        return Target(address.rstrip("/"), key)
    home = Path(address or os.environ.get("PARLEY_HOME") or ROOT / ".parley").resolve()
    try:
        told = json.loads((home / "connection.json").read_text(encoding="utf-8"))
        return Target(told["url"], told["api_key"], home=home)
    except (OSError, ValueError, KeyError) as error:
        raise BenchError(f"No service runs in {home}: start it with `make up` ({error})") from error


@contextmanager
def started(common: Common, *, environment: Mapping[str, str] | None = None) -> Iterator[Target]:
    """A new stack in a folder of its own, and the stub of providers where the file wants it.

    `startup_ms` is the time from its first process until every part was ready.
    """
    with ExitStack() as opened_parts:
        folder = opened_parts.enter_context(tempfile.TemporaryDirectory(prefix="parley-bench-"))
        stub = opened_parts.enter_context(Providers()) if common.stub else None
        if stub is not None and common.stub is not None:
            stub.control(**asdict(common.stub))
        home = Path(folder) / "home"
        stack = EmbeddedStack(
            home,
            render_workers=common.stack.render_workers,
            env={
                **ENVIRONMENT,
                "LIVE_WORKERS": str(common.stack.live_workers),
                "WEB_PROCESSES": str(common.stack.web_processes),
                **(stub.environment if stub else {}),
                **common.stack.environment,
                **(environment or {}),
            },
        )
        began = time.monotonic()
        opened_parts.enter_context(stack)
        took = 1000 * (time.monotonic() - began)
        yield Target(stack.base_url, stack.api_key, home=home, stack=stack, stub=stub, startup_ms=took)


def _on_this_machine(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
