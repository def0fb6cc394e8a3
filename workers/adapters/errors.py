"""What goes wrong at a provider or a model."""


class AdapterError(Exception):
    """A provider or a model did not do its part.

    `retryable` is the adapter's judgement: it alone knows whether this vendor's answer means
    "busy" or "never". `code` is stable and becomes a clip's `failure.code`; the message may be
    shown to the owner, so it holds no secret and no spoken text. `retry_after` is what the provider
    asked for, in seconds.
    """

    retry_after: float = 0.0

    def __init__(self, message: str, *, provider: str, retryable: bool, code: str = "provider_error") -> None:
        super().__init__(message)
        self.provider = provider
        self.retryable = retryable
        self.code = code


class PreparationError(Exception):
    """A picture or video cannot become an avatar; `code` says why (`no_face`, `several_faces`...)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
