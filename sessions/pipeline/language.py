"""The language model of this installation."""

import asyncio
from functools import lru_cache

from django.conf import settings

from workers.adapters import registry
from workers.adapters.endpoint import Endpoint
from workers.adapters.llm.base import LanguageModel

__all__ = ["language_model"]


def language_model() -> LanguageModel:
    """The model that answers: `LLM_BASE_URL` names a server, without it the scripted one speaks.

    One per process and event loop, so that connections stay open from turn to turn. Call it once
    while starting: making its client takes 40 ms.
    """
    return _made(asyncio.get_running_loop())


@lru_cache(maxsize=4)
def _made(loop: asyncio.AbstractEventLoop) -> LanguageModel:  # noqa: ARG001 - the key of the cache
    endpoint = Endpoint(settings.LLM_BASE_URL, settings.LLM_API_KEY)
    if not endpoint.base_url:
        return registry.language_model("scripted", endpoint, {})
    seconds = float(settings.LLM_TIMEOUT_SECONDS)
    options = {"model": settings.LLM_MODEL, "first_token": seconds, "between_tokens": seconds}
    return registry.language_model("openai_compatible", endpoint, options)
