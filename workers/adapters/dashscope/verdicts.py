"""What DashScope's error codes mean: whether to try again, and what to tell.

They come as `InvalidApiKey`, as `Throttling.RateQuota` or as `invalid_api_key`, by the service. The words
beside them may repeat what was said: they are looked at, and never shown.
"""

import re

from workers.adapters.errors import AdapterError

_UNKNOWN_VOICE = re.compile(r"error code: ?41[18]\b|\bvoice\b", re.IGNORECASE)
_RULES: tuple[tuple[tuple[str, ...], str, str, bool], ...] = (
    # The first that fits: part of the code, our code, what to say, whether another try may help.
    (("freetieronly", "arrearage", "insufficientquota", "quotaexceeded", "overdue"),
     "provider_quota", "The provider's account has no credit left.", False),
    (("invalidapikey", "unauthorized", "accessdenied", "invalidtoken"),
     "provider_unauthorized", "The provider does not accept the key.", False),
    (("datainspection", "ipinfringement"),
     "provider_refused", "The provider refuses this content.", False),
    (("throttling", "ratelimit", "ratequota", "limitrequests", "toomanyrequests", "limitburst"),
     "provider_busy", "The provider is busy.", True),
    (("timeout",), "provider_timeout", "The provider did not answer in time.", True),
    (("internalerror", "internalserver", "servererror", "servingerror", "systemerror", "unavailable"),
     "provider_error", "The provider failed.", True),
    (("modelnotfound", "modelnotexist"),
     "provider_not_found", "The provider does not know the model.", False),
    (("invalid", "badrequest", "unsupported", "audio"),
     "provider_rejected", "The provider rejects the request.", False),
)  # fmt: skip


def verdict(provider: str, code: str, message: str = "", param: str = "") -> AdapterError:
    """The error for what the service told: its code, its words, and the parameter it complained about."""
    given = re.sub(r"[^a-z0-9]", "", code.lower())
    fitting = (rule[1:] for rule in _RULES if any(part in given for part in rule[0]))
    ours, words, retryable = next(fitting, ("provider_error", "The provider failed.", False))
    if ours == "provider_rejected":
        if "request timeout" in message.lower():
            ours, words, retryable = "provider_timeout", "The provider waited in vain.", True
        elif param.endswith("voice") or _UNKNOWN_VOICE.search(message):
            ours, words = "voice_not_found", "The provider does not know the voice."
    return AdapterError(words, provider=provider, retryable=retryable, code=ours)
