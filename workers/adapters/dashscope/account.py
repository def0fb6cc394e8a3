"""Whom DashScope's services know, where they are, and how long each step may take."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from workers.adapters import sockets
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.sockets import Socket

T = TypeVar("T")

TASKS = "/api-ws/v1/inference"
SESSIONS = "/api-ws/v1/realtime"
VOICES = "/api/v1/services/audio/tts/customization"
IDLE_SECONDS = 45.0
"""The service closes a socket that is not used for about 60 s."""
REUSED_SECONDS = 4.0
"""So soon a kept socket answers, or is held for dead."""
_PATHS = ("/api-ws/v1", "/compatible-mode/v1", "/api/v1")


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every adapter. `workspace` is named in a header where the account has several."""

    provider: str = "dashscope"
    workspace: str = ""
    connect_seconds: float = 5.0
    start_seconds: float = 10.0
    event_seconds: float = 15.0


class Account:
    """One key at one of the service's addresses."""

    def __init__(self, endpoint: Endpoint, options: Common) -> None:
        self.provider = options.provider
        self.options = options
        self._root = Endpoint(root(endpoint.base_url), endpoint.api_key)

    @property
    def base_url(self) -> str:
        """The address without a path: all of the services lie below it."""
        return self._root.base_url

    @property
    def headers(self) -> dict[str, str]:
        workspace = self.options.workspace
        return self._root.headers | ({"X-DashScope-WorkSpace": workspace} if workspace else {})

    @asynccontextmanager
    async def begun(
        self, path: str, key: Hashable, begin: Callable[[Socket, float], Awaitable[T]]
    ) -> AsyncGenerator[tuple[Socket, T], None]:
        """A socket on which `begin` went well, and what that gave; `begin` is told its seconds.

        A kept socket that was closed meanwhile is replaced at once: nobody has heard anything yet.
        """
        options = self.options
        while True:
            lease = sockets.lease(
                self._root.ws_url(path),
                self.headers,
                open_seconds=options.connect_seconds,
                reuse_key=key,
                idle_seconds=IDLE_SECONDS,
                provider=self.provider,
            )
            async with lease as socket:
                seconds = min(options.start_seconds, REUSED_SECONDS if socket.reused else 60.0)
                try:
                    made = await begin(socket, seconds)
                except AdapterError as exc:
                    if not socket.reused or exc.code != "provider_truncated":
                        raise
                    continue
                yield socket, made
                return

    def error(self, message: str, code: str = "provider_error", *, retryable: bool = False) -> AdapterError:
        return AdapterError(message, provider=self.provider, retryable=retryable, code=code)

    def unreadable(self) -> AdapterError:
        return self.error("The provider's answer cannot be read.")

    def truncated(self) -> AdapterError:
        return self.error("The provider's answer broke off.", "provider_truncated", retryable=True)


def root(base_url: str) -> str:
    """The address below which all services lie, whichever of them was configured."""
    for path in _PATHS:
        base_url = base_url.partition(path)[0]
    return base_url.rstrip("/")
