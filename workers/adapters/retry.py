"""When a provider is asked once more."""

from workers.adapters.errors import AdapterError

ATTEMPTS = 3
BACKOFF_SECONDS = 0.25


def pause_or_raise(error: AdapterError, attempt: int, *, delivered: bool) -> float:
    """Seconds to wait before another try; raises the error when there must be none.

    `attempt` counts from 1. What was delivered already would be said twice.
    """
    if delivered or not error.retryable or attempt >= ATTEMPTS:
        raise error
    return max(error.retry_after, BACKOFF_SECONDS * 2.0 ** (attempt - 1))
