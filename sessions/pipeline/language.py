"""The language model of this installation."""

import asyncio
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

from workers.adapters import registry
from workers.adapters.endpoint import Endpoint
from workers.adapters.llm.base import LanguageModel

__all__ = ["language_model"]

WARM_SECONDS = 60.0  # servers keep a silent connection open for about that long


def language_model() -> LanguageModel:
    """The model that answers: `LLM_BASE_URL` names a server, without it the scripted one speaks.

    One per process and event loop, so that connections stay open from turn to turn. Call it once
    while starting: making its client takes 40 ms. Asked for again after a while, it gets a connection
    ready in the background.
    """
    loop = asyncio.get_running_loop()
    ready = _made(loop)
    if loop.time() >= ready.warm_until:
        ready.warm_until = loop.time() + WARM_SECONDS
        ready.warming = loop.create_task(ready.model.warm())
    return ready.model


@dataclass(slots=True)
class _Ready:
    """A model, and until when (loop time, s) its connections are taken to be open."""

    model: LanguageModel
    warm_until: float = 0.0
    warming: "asyncio.Task[None] | None" = None


@lru_cache(maxsize=4)
def _made(loop: asyncio.AbstractEventLoop) -> _Ready:  # noqa: ARG001 - the key of the cache
    return _Ready(_model())


def _model() -> LanguageModel:
    endpoint = Endpoint(settings.LLM_BASE_URL, settings.LLM_API_KEY)
    if not endpoint.base_url:
        return registry.language_model("scripted", endpoint, {})
    seconds = float(settings.LLM_TIMEOUT_SECONDS)
    options = {"model": settings.LLM_MODEL, "first_token": seconds, "between_tokens": seconds}
    return registry.language_model("openai_compatible", endpoint, options)
