"""Connections on which an answer has to be there as a whole, within the time that its request allows.

A read timeout alone bounds each silence: a server that sends a byte now and then, of its headers too, would
keep a thread for as long as it likes.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import httpcore
import httpx

from workers.adapters.endpoint import KEEPALIVE_SECONDS, MAX_CONNECTIONS, tls


@lru_cache(maxsize=64)
def whole_client(base_url: str) -> httpx.Client:
    """As `endpoint.client`; `read` counts from the end of the request to the end of its answer."""
    return httpx.Client(base_url=base_url, transport=_Transport(), follow_redirects=False, trust_env=False)


class _Transport(httpx.HTTPTransport):
    def __init__(self) -> None:
        super().__init__(verify=tls(), trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls(),
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=_Backend(),
        )


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    """A connection that knows since when an answer is waited for."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self._asked_at = time.monotonic()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if timeout is not None:
            timeout -= time.monotonic() - self._asked_at
            if timeout <= 0:
                raise httpcore.ReadTimeout("The answer is not there as a whole.")
        return self._inner.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)
        self._asked_at = time.monotonic()

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
