"""Whether the providers can be reached: asked by a periodic task, never by a request.

A connection is opened, and a TLS handshake made where the address wants one; nothing is sent.
"""

import json
import logging
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import redis

from generation.providers import accounts
from generation.providers.publishing import client
from project.api import net
from workers.adapters.endpoint import Endpoint

KEY = "providers:reach"
KEPT_SECONDS = 600
DEADLINE_SECONDS = 3.0
AT_ONCE = 8
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reach:
    """What a probe found; `at` in Unix seconds. `error` is a code."""

    reachable: bool
    at: float
    ms: float
    error: str = ""


def probe() -> dict[str, Reach]:
    """Try every configured provider, and write down what was found."""
    names = [name for name in accounts.known() if accounts.is_configured(name)]
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="probe") as threads:
        found = dict(zip(names, threads.map(_probed, names), strict=True))
    told: dict[Any, Any] = {name: json.dumps(_facts(reach)) for name, reach in found.items()}
    try:
        with client().pipeline() as pipe:
            pipe.delete(KEY)
            if told:
                pipe.hset(KEY, mapping=told)
            pipe.expire(KEY, KEPT_SECONDS)
            pipe.execute()
    except redis.RedisError as error:
        _log.warning("What the probes of providers found cannot be told: %s", type(error).__name__)
    return found


def known() -> dict[str, Reach]:
    """What the last probe found; nothing where there was none lately."""
    try:
        told: dict[Any, Any] = client().hgetall(KEY)
    except redis.RedisError:
        return {}
    return {name.decode(): Reach(**json.loads(raw)) for name, raw in told.items()}


def _probed(provider_id: str) -> Reach:
    reached = accounts.endpoint(provider_id)
    return Reach(False, time.time(), 0.0, "not_configured") if reached is None else try_to_reach(reached)


def try_to_reach(endpoint: Endpoint, seconds: float = DEADLINE_SECONDS) -> Reach:
    """Open a connection to an address and close it again."""
    parts = urlsplit(endpoint.base_url)
    started = time.monotonic()
    error = ""
    try:
        port = parts.port or _PORTS[parts.scheme]
        with socket.create_connection((parts.hostname or "", port), seconds) as plain:
            plain.settimeout(max(0.1, seconds - (time.monotonic() - started)))
            if _PORTS[parts.scheme] == 443:
                with net.tls_context().wrap_socket(plain, server_hostname=parts.hostname):
                    pass
    except TimeoutError:
        error = "timeout"
    except ssl.SSLError:
        error = "tls_failed"
    except (OSError, KeyError, ValueError):
        error = "unreachable"
    return Reach(not error, time.time(), round((time.monotonic() - started) * 1000, 1), error)


def _facts(reach: Reach) -> dict[str, Any]:
    return {"reachable": reach.reachable, "at": reach.at, "ms": reach.ms, "error": reach.error}
