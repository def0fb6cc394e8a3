"""What an OpenAI-shaped provider means by a status that is not 200."""

from typing import Any

from workers.adapters.errors import AdapterError
from workers.adapters.text import parsed

RETRYABLE = frozenset({408, 409, 425, 429})
_CODES = {
    400: "provider_rejected",
    401: "provider_unauthorized",
    402: "provider_quota",
    403: "provider_unauthorized",
    404: "provider_not_found",
    413: "provider_too_large",
    429: "provider_busy",
}
_OURS = frozenset(
    {"voice_not_found", "language_unsupported", "audio_unreadable", "audio_too_long", "nothing_to_say"}
)
_NEVER = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
MAX_RETRY_AFTER_SECONDS = 10.0


class Refusal(AdapterError):
    """An answer that is no success; `param` is the field that the provider complained about."""

    param: str = ""


def refusal(
    provider: str, status: int, body: bytes, retry_after: str | None, *, who: str = "speech provider"
) -> Refusal:
    """The answer as an error. The provider's own words stay out of it: they may repeat the text."""
    given = _code(body)
    retryable = (status in RETRYABLE or status >= 500) and given not in _NEVER
    code = "provider_quota" if given in _NEVER else _named(status, given)
    if not 200 <= status < 600 or status < 400:
        retryable = False
    error = Refusal(f"The {who} answered {status}.", provider=provider, retryable=retryable, code=code)
    error.retry_after = _seconds(retry_after)
    error.param = _param(body)
    return error


def _named(status: int, given: str) -> str:
    if given in _OURS:
        return given
    if status in (400, 404, 422) and "voice" in given:
        return "voice_not_found"
    if 400 <= status < 500 and status not in RETRYABLE:
        return _CODES.get(status, "provider_rejected")  # this request, not the provider
    return _CODES.get(status, "provider_error")


def _code(body: bytes) -> str:
    """The code or type of `{"error": {...}}`; FastAPI's `{"detail": "unknown voice"}` counts as well."""
    try:
        answer: Any = parsed(body)
    except ValueError:
        return ""
    if not isinstance(answer, dict):
        return ""
    error = answer.get("error")
    if not isinstance(error, dict):
        return "voice_not_found" if "voice" in str(answer.get("detail", "")).lower() else ""
    code = str(error.get("code") or error.get("type") or "")
    return "voice_not_found" if error.get("param") == "voice" else code


def _param(body: bytes) -> str:
    try:
        return str(parsed(body)["error"]["param"] or "")
    except (ValueError, KeyError, TypeError):
        return ""


def _seconds(header: str | None) -> float:
    try:
        return min(max(float(header or 0.0), 0.0), MAX_RETRY_AFTER_SECONDS)
    except ValueError:
        return 0.0  # a date: not worth a clock of our own
