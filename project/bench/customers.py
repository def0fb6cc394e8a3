"""Customers of a service under measurement: a persona without a greeting, sessions that are ended again."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from project.bench.client import LiveClient
from project.bench.errors import BenchError

HTTP_SECONDS = 60.0


@dataclass(frozen=True)
class Service:
    """Where it is, who we are there, and with whom we talk."""

    base_url: str
    api_key: str
    avatar: str = ""
    wishes: dict[str, Any] = field(default_factory=dict)

    def client(self, http: httpx.AsyncClient, **options: Any) -> LiveClient:
        """A customer who has done nothing yet; `options` are those of `LiveClient`."""
        wishes = {"record": False, **self.wishes, **options.pop("wishes", {})}
        avatar = options.pop("avatar", self.avatar)
        return LiveClient(self.base_url, self.api_key, avatar=avatar, wishes=wishes, http=http, **options)


@asynccontextmanager
async def connected(service: Service, http: httpx.AsyncClient, **options: Any) -> AsyncIterator[LiveClient]:
    """One customer who watches and listens; the session ends with the block."""
    async with service.client(http, **options) as client:
        await begin(client)
        try:
            await client.join()
            await client.connect_media()
            yield client
        finally:
            await client.request("POST", f"sessions/{client.id}/end", {})


async def begin(client: LiveClient) -> dict[str, Any]:
    """Create the session. Raises `BenchError` with the service's own words when it is refused."""
    try:
        return await client.create()
    except httpx.HTTPStatusError as error:
        raise BenchError(f"No session: {error.response.text[:300]}") from error


@asynccontextmanager
async def crowd(service: Service, count: int, **options: Any) -> AsyncIterator[list[LiveClient]]:
    """That many customers, connected one after the other."""
    async with AsyncExitStack() as exits, web() as http:
        yield [await exits.enter_async_context(connected(service, http, **options)) for _ in range(count)]


def web() -> httpx.AsyncClient:
    """REST without a limit on what is under way; certificates may be of our own making."""
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(timeout=HTTP_SECONDS, limits=limits, verify=False)  # noqa: S501 - as above
