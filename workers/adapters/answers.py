"""One call over HTTP: its deadlines, its refusals, and what it means when its answer breaks off."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from workers.adapters.endpoint import Deadlines, Endpoint, async_client, judged
from workers.adapters.errors import AdapterError
from workers.adapters.refusals import refusal

MAX_ERROR_BYTES = 16 * 1024
SPEECH = "speech provider"


@asynccontextmanager
async def answered(
    endpoint: Endpoint,
    path: str,
    *,
    provider: str,
    deadlines: Deadlines,
    method: str = "POST",
    who: str = SPEECH,
    **call: Any,
) -> AsyncIterator[httpx.Response]:
    """The answer once its head is there, always closed in the end; `AdapterError` unless it is a 200.

    A connection that ends while the body is read is `provider_truncated`, one that never got there
    `provider_unreachable`. `call` is what httpx takes: `json`, `data`, `files`, `params`.
    """
    pool = async_client(endpoint.base_url, asyncio.get_running_loop())
    timeout = httpx.Timeout(deadlines.read, connect=deadlines.connect, pool=deadlines.pool)
    begun = False
    try:
        async with pool.stream(method, path, headers=endpoint.headers, timeout=timeout, **call) as response:
            if response.status_code != httpx.codes.OK:
                raise refused(provider, response, await beginning(response), who=who)
            begun = True
            yield response
    except httpx.HTTPError as exc:
        if begun and isinstance(exc, httpx.TransportError) and not isinstance(exc, httpx.TimeoutException):
            raise truncated(provider, who) from exc
        raise judged(exc, provider, who=who) from exc


async def steadily(response: httpx.Response, seconds: float, provider: str) -> AsyncGenerator[bytes, None]:
    """The body as it arrives, where waiting for more of it is worth less than waiting for its head was."""
    body = response.aiter_bytes()
    while True:
        try:
            async with asyncio.timeout(seconds):
                data = await anext(body, b"")
        except TimeoutError as exc:
            raise timed_out(provider) from exc
        if not data:
            return
        yield data


async def beginning(response: httpx.Response, most_bytes: int = MAX_ERROR_BYTES) -> bytes:
    """As much of a body as an error needs."""
    body = b""
    async for data in response.aiter_bytes():
        body += data
        if len(body) >= most_bytes:
            break
    return body


def refused(provider: str, response: httpx.Response, body: bytes, *, who: str = SPEECH) -> AdapterError:
    return refusal(provider, response.status_code, body, response.headers.get("retry-after"), who=who)


def truncated(provider: str, who: str = SPEECH) -> AdapterError:
    return AdapterError(
        f"The {who}'s answer broke off.", provider=provider, retryable=True, code="provider_truncated"
    )


def timed_out(provider: str, who: str = SPEECH) -> AdapterError:
    return AdapterError(
        f"The {who} did not answer in time.", provider=provider, retryable=True, code="provider_timeout"
    )


def silent(provider: str) -> AdapterError:
    """A success without a sound in it; such an answer is often better the second time."""
    return AdapterError(
        "The speech provider sent no sound.", provider=provider, retryable=True, code="no_audio"
    )


def media_type(response: httpx.Response) -> str:
    """`audio/wav` of `Audio/WAV; charset=binary`."""
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def sample_rate(response: httpx.Response, default: int) -> int:
    """From the headers that speech servers use, else from `rate=` of the content type, else the default."""
    kind = response.headers.get("content-type", "")
    given = [response.headers.get(name, "") for name in ("x-sample-rate", "x-audio-sample-rate")]
    given += [part.strip()[5:] for part in kind.split(";") if part.strip().lower().startswith("rate=")]
    rates = [int(text) for text in given if text.isdecimal()]
    return next((rate for rate in rates if 8000 <= rate <= 192_000), default)
