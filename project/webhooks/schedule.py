"""When a failed delivery is tried again. Pure functions of what happened."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# Before each attempt, counted from the one before it: about 75 hours in all.
DELAYS_SECONDS = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
MAX_ATTEMPTS = len(DELAYS_SECONDS)
MAX_RETRY_AFTER = timedelta(hours=24)
JITTER = 0.1  # up to a tenth is added, so that retries of many events spread out
_ASKS_FOR_PATIENCE = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt met: an answer's status, or an error without an answer."""

    status: int | None = None
    error: str = ""
    snippet: str = ""
    retry_after: timedelta | None = None
    permanent: bool = False

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        return self.status == 410


def next_attempt(
    outcome: Outcome, *, attempts: int, now: datetime, spread: float | None = None
) -> datetime | None:
    """When to try again after `attempts` attempts; None when it is over."""
    if outcome.succeeded or outcome.gone or outcome.permanent or attempts >= MAX_ATTEMPTS:
        return None
    factor = 1 + JITTER * (random.random() if spread is None else spread)
    delay = timedelta(seconds=DELAYS_SECONDS[attempts] * factor)
    if outcome.status in _ASKS_FOR_PATIENCE and outcome.retry_after is not None:
        delay = max(delay, min(outcome.retry_after, MAX_RETRY_AFTER))
    return now + delay


def retry_after(headers: Mapping[str, str], *, now: datetime) -> timedelta | None:
    """Read Retry-After, in seconds or as a date; None where it is missing or nonsense."""
    raw = headers.get("Retry-After", "").strip()
    if raw.isascii() and raw.isdigit() and len(raw) < 10:
        return timedelta(seconds=int(raw))
    try:
        moment = parsedate_to_datetime(raw)
    except (ValueError, TypeError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(timedelta(0), moment - now)
