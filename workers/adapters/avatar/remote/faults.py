"""What goes wrong between us and a model's server, and which of it another connection may mend."""

from workers.adapters.errors import AdapterError

RETRYABLE = {
    "model_unreachable",
    "model_busy",
    "model_timeout",
    "model_error",
    "model_lost",
    "frames_missing",
    "out_of_memory",
    "lease_lost",
}


class Broken(AdapterError):
    """The server lost the session or the connection: a fresh one may go on where this one stopped."""


def fault(code: str, message: str, provider: str) -> AdapterError:
    return AdapterError(message, provider=provider, retryable=code in RETRYABLE, code=code)


def broken(code: str, message: str, provider: str) -> Broken:
    return Broken(message, provider=provider, retryable=code in RETRYABLE, code=code)
