"""Customers of live sessions who choose their web process, and what that process says of itself."""

import asyncio
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, unix_connect

from project.bench.client import LiveClient
from project.bench.stack import EmbeddedStack
from project.embedded.home import Home

# Of the process that the customers of these tests talk to, unless they choose another.
TASKS, SESSIONS, FILES, MEMORY = (
    f'{name}{{process="web1"}}'
    for name in (
        "parley_live_tasks",
        "parley_live_sessions",
        "process_open_fds",
        "process_resident_memory_bytes",
    )
)


@dataclass
class Customer(LiveClient):
    """Talks to `web` ("web1", "web2", ...) of a stack, whatever the shared port would have chosen."""

    home: Path = Path()
    web: str = "web1"

    async def open(self, *, query: str | None = None, origin: str | None = None) -> ClientConnection:
        """Open a socket of this session; whoever calls reads from it."""
        query = f"token={self.session['client_token']}" if query is None else query
        address = self.session["ws_url"].split("://", 1)[1].partition("/")[2]
        return await unix_connect(
            str(Home(self.home).socket(self.web)),
            f"ws://localhost/{address}?{query}",
            additional_headers={"Origin": origin} if origin else {},
            max_size=2**20,
            compression=None,
            ping_interval=None,
        )

    async def join(self, *, since: int | None = None, origin: str | None = None) -> Any:
        began = time.monotonic()
        query = f"token={self.session['client_token']}" + ("" if since is None else f"&since={since}")
        self.close_code = None
        self._socket = await self.open(query=query, origin=origin)
        self._reader = asyncio.create_task(self._read(self._socket))
        return await self.event("session.state", since=began, where=lambda data: "avatar" in data)


def customer(stack: EmbeddedStack, avatar: str, web: str = "web1", **wishes: Any) -> Customer:
    wishes = {"record": False} | wishes
    return Customer(stack.base_url, stack.api_key, avatar, wishes, home=stack.home, web=web)


def figures(stack: EmbeddedStack, web: str = "web1") -> dict[str, float]:
    """The figures of all processes, as one web process tells them; labels stand behind the names."""
    token = stack.secrets["metrics_token"]
    transport = httpx.HTTPTransport(uds=str(Home(stack.home).socket(web)))
    with httpx.Client(transport=transport, base_url="http://localhost") as client:
        page = client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).text
    return {name: float(value) for name, value in re.findall(r"^(\w.*) (\S+)$", page, re.MULTILINE)}
