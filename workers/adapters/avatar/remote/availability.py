"""Whether a model's server is there and draws, without disturbing who uses it.

Some servers end the session of whoever holds them when any connection ends, and OmniRT's list of models
makes such a connection to each server behind it. So a server is asked by a TCP connection alone, and the
list is asked for only while we hold the server's lease ourselves.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from workers.adapters.avatar.remote.faults import fault
from workers.adapters.avatar.runtime import Host
from workers.adapters.endpoint import Deadlines, Endpoint, client
from workers.adapters.errors import AdapterError

CONNECT_SECONDS = 2.0
LIST_SECONDS = 5.0
KEPT_SECONDS = 30.0
MAX_LIST_BYTES = 256 * 1024
LIST_PATH = "/v1/audio2video/models"
FAKE = "fallback_runtime"


def resource(url: str) -> str:
    """The name of the lease on the server at this address: its host and port."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme in {"https", "wss"} else 80)
    return f"avatar-server:{(parts.hostname or '').lower()}:{port}"


def reach(url: str, provider: str) -> None:
    """Connect by TCP and leave. Raises `AdapterError` (`model_unreachable`)."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme in {"https", "wss"} else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError):
        raise fault("model_unreachable", "The model's server cannot be reached.", provider) from None


@dataclass(frozen=True, slots=True)
class Status:
    """What OmniRT says about one of its models."""

    connected: bool
    reason: str


class Listing:
    """OmniRT's lists of models, each kept for a while. Safe to share between threads."""

    def __init__(self, kept_seconds: float = KEPT_SECONDS) -> None:
        self._kept_seconds = kept_seconds
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, dict[str, Status]]] = {}

    def of(self, endpoint: Endpoint, host: Host, provider: str) -> dict[str, Status] | None:
        """The models of a server, as of now or lately; None while somebody else uses it.

        Raises `AdapterError`.
        """
        with self._lock:
            known_at, known = self._kept.get(endpoint.base_url, (0.0, None))
        if known is not None and time.monotonic() < known_at + self._kept_seconds:
            return known
        try:
            with host.lease(resource(endpoint.base_url), live=False) as lease:
                lease.check()
                found = _asked(endpoint, provider)
        except AdapterError as error:
            if error.code in {"model_busy", "lease_lost"}:
                return known
            raise
        with self._lock:
            self._kept[endpoint.base_url] = (time.monotonic(), found)
        return found


_listing = Listing()


def check(
    endpoint: Endpoint, host: Host, provider: str, *, listed: str = "", lists: Listing = _listing
) -> None:
    """Raise `AdapterError` where the server would not draw: not there, not enabled, no real model.

    `listed` is the model's name in OmniRT's list; without one only the server's presence is told.
    """
    reach(endpoint.base_url, provider)
    if not listed:
        return
    found = lists.of(endpoint, host, provider)
    if found is None:
        return  # somebody uses it: it was there when they began
    status = found.get(listed)
    if status is None:
        raise fault("model_rejected", "The server does not list this model.", provider)
    if status.reason == FAKE:
        message = "The server has only its fallback for this model, which draws one colour."
        raise fault("model_fake", message, provider)
    if not status.connected:
        raise fault("model_unreachable", f"The server says of this model: {status.reason}.", provider)


def _asked(endpoint: Endpoint, provider: str) -> dict[str, Status]:
    base = _http(endpoint.base_url)
    deadlines = httpx.Timeout(LIST_SECONDS, connect=CONNECT_SECONDS, pool=Deadlines().pool)
    until = time.monotonic() + 2 * LIST_SECONDS
    # As it comes: a small packed piece could become a large one.
    headers = {**endpoint.headers, "Accept-Encoding": "identity"}
    try:
        with client(base).stream("GET", LIST_PATH, headers=headers, timeout=deadlines) as answer:
            body = b""
            for piece in answer.iter_raw():
                body += piece
                if len(body) > MAX_LIST_BYTES:
                    raise fault("model_rejected", "The server's list of models is too long.", provider)
                if time.monotonic() > until:
                    raise fault("model_timeout", "The server's list of models did not end.", provider)
    except httpx.HTTPError:
        raise fault("model_unreachable", "The server did not tell its models.", provider) from None
    if answer.status_code != 200:
        message = f"The server answered {answer.status_code} when asked for its models."
        code = "model_unreachable" if answer.status_code >= 500 else "model_rejected"
        raise fault(code, message, provider)
    return _read(body, provider)


def _read(body: bytes, provider: str) -> dict[str, Status]:
    found: dict[str, Status] = {}
    with suppress(ValueError, RecursionError, TypeError, KeyError, AttributeError):
        for entry in httpx.Response(200, content=body).json()["statuses"]:
            reason = str(entry.get("reason", ""))[:40]
            named = reason if reason.replace("_", "").isalnum() else "no reason"
            found[str(entry["id"])] = Status(entry.get("connected") is True, named)
        return found
    raise fault("model_rejected", "The server's list of models cannot be read.", provider)


def _http(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{ ({'ws': 'http', 'wss': 'https'}.get(scheme, scheme)) }{separator}{rest}"
