"""What all calls to ElevenLabs share: who we are, and what a refusal means."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from workers.adapters.answers import beginning, truncated
from workers.adapters.endpoint import Deadlines, Endpoint, async_client, judged
from workers.adapters.errors import AdapterError
from workers.adapters.refusals import MAX_RETRY_AFTER_SECONDS, RETRYABLE
from workers.adapters.text import parsed

PROVIDER = "elevenlabs"
_NAMED = {
    "provider_unauthorized": {
        "authentication_error",
        "detected_unusual_activity",
        "invalid_api_key",
        "missing_permissions",
        "needs_authorization",
    },
    "provider_quota": {
        "insufficient_credits",
        "paid_plan_required",
        "payment_required",
        "quota_exceeded",
        "voice_add_edit_limit_reached",
        "voice_limit_reached",
    },
    "provider_busy": {
        "concurrent_limit_exceeded",
        "rate_limit_error",
        "rate_limit_exceeded",
        "system_busy",
        "too_many_concurrent_requests",
        "too_many_requests",
    },
    "provider_timeout": {"input_timeout_exceeded"},
    "provider_too_large": {"max_character_limit_exceeded", "text_too_long"},
    "provider_refused": {"content_against_policy", "content_policy_violation"},
    "voice_not_found": {
        "invalid_voice_id",
        "voice_does_not_exist",
        "voice_id_does_not_exist",
        "voice_not_found",
    },
    "language_unsupported": {"language_code", "language_not_supported", "unsupported_language"},
    "audio_unreadable": {"audio_too_short", "corrupted_audio", "invalid_audio"},
}
_STATUS = {
    400: "provider_rejected",
    401: "provider_unauthorized",
    402: "provider_quota",
    403: "provider_unauthorized",
    404: "provider_not_found",
    413: "provider_too_large",
    422: "provider_rejected",
    429: "provider_busy",
}
_AGAIN = frozenset({"provider_busy", "provider_timeout"})


@dataclass(frozen=True, slots=True)
class Account(Endpoint):
    """An address and a key, which goes into a header of ElevenLabs' own and nowhere else."""

    @property
    def headers(self) -> dict[str, str]:
        return {"xi-api-key": self.api_key} if self.api_key else {}


@asynccontextmanager
async def answered(
    account: Account,
    method: str,
    path: str,
    *,
    provider: str,
    deadlines: Deadlines,
    **call: Any,
) -> AsyncIterator[httpx.Response]:
    """The answer once its head is there, always closed in the end; `AdapterError` unless it is a 200.

    `call` is what httpx takes. A body that ends in the middle is `provider_truncated`.
    """
    pool = async_client(account.base_url, asyncio.get_running_loop())
    timeout = httpx.Timeout(deadlines.read, connect=deadlines.connect, pool=deadlines.pool)
    begun = False
    try:
        async with pool.stream(method, path, headers=account.headers, timeout=timeout, **call) as response:
            if response.status_code != httpx.codes.OK:
                retry_after = response.headers.get("retry-after", "")
                raise refused(provider, response.status_code, await beginning(response), retry_after)
            begun = True
            yield response
    except httpx.HTTPError as exc:
        if begun and isinstance(exc, httpx.TransportError) and not isinstance(exc, httpx.TimeoutException):
            raise truncated(provider) from exc
        raise judged(exc, provider) from exc


def refused(provider: str, status: int, body: bytes, retry_after: str = "") -> AdapterError:
    """An answer that is no success. Its own words stay out: they may repeat the text."""
    try:
        answer = parsed(body)
    except ValueError:
        answer = None
    error = fault(provider, names(answer), status)
    if retry_after.isdecimal():
        error.retry_after = min(float(retry_after), MAX_RETRY_AFTER_SECONDS)
    return error


def fault(provider: str, given: set[str], status: int = 0) -> AdapterError:
    """The error of these names; `status` 0 is a WebSocket's."""
    code = next((code for code, known in _NAMED.items() if known & given), "")
    # A service that is down may say anything; one that is full says so.
    code = code or _STATUS.get(status, "provider_error")
    retryable = code in _AGAIN or (code == "provider_error" and (status in RETRYABLE or 500 <= status < 600))
    message = f"The speech provider answered {status}." if status else "The speech provider gave up."
    return AdapterError(message, provider=provider, retryable=retryable, code=code)


def names(answer: Any) -> set[str]:
    """What an answer calls its error.

    `detail` is a text, an object with `status`, `code` or `type`, or a list of what is wrong with the
    request's fields; a WebSocket's message has `error`.
    """
    if not isinstance(answer, Mapping):
        return set()
    detail = answer.get("detail", answer)
    given: list[Any] = []
    if isinstance(detail, Mapping):
        given = [detail.get(name) for name in ("status", "code", "type", "error")]
    elif isinstance(detail, list):
        given = [part for entry in detail if isinstance(entry, Mapping) for part in entry.get("loc") or ()]
    return {name for name in given if isinstance(name, str)} | _within(detail)


def _within(text: Any) -> set[str]:
    """Names that stand in a text, such as the reason of a closed socket."""
    if not isinstance(text, str):
        return set()
    words = text.lower().replace(" ", "_")
    return {name for known in _NAMED.values() for name in known if name in words}


def named_in(reason: str) -> set[str]:
    """The names in the reason of a closed socket."""
    return _within(reason)
