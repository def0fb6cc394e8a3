"""The language model's answer, piece by piece, with a deadline on every wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from sessions.pipeline.faults import Fault, next_within
from sessions.pipeline.measures import Measures
from sessions.pipeline.ports import Limits, PersonaSetup
from workers.adapters.errors import AdapterError
from workers.adapters.text import Cleaner

if TYPE_CHECKING:
    from workers.adapters.llm.base import LanguageModel, Message, Piece

_SILENT = ("language_model_timeout", "The language model did not answer in time.")
_STALLED = ("language_model_timeout", "The language model stopped in the middle of its answer.")
_EMPTY = ("language_model_empty", "The language model had no answer.")


async def answer(
    model: LanguageModel,
    messages: Sequence[Message],
    persona: PersonaSetup,
    limits: Limits,
    measures: Measures,
) -> AsyncGenerator[str, None]:
    """Text as it is written. Raises `Fault`; what came before it stands.

    Closing it closes the connection to the model.
    """
    now = asyncio.get_running_loop().time
    begun, said, cleaner = now(), False, Cleaner()
    stream = model.stream(
        messages, max_tokens=persona.max_tokens, knowledge=persona.knowledge, language=persona.language
    )
    async with aclosing(stream):
        while now() - begun < limits.reply_seconds:  # a model that goes on for minutes has said enough
            text = await _next(stream, limits, said=said)
            if text is None:
                break
            if not isinstance(text, str):
                continue
            measures.mark("first_token")
            text = cleaner.feed(text)
            said = said or bool(text.strip())
            yield text
    if not said:
        raise Fault("language_model", *_EMPTY)


async def _next(stream: AsyncGenerator[Piece, None], limits: Limits, *, said: bool) -> Piece | None:
    """The next text; None when the answer is complete."""
    seconds = limits.next_token_seconds if said else limits.first_token_seconds
    try:
        return await next_within(stream, seconds, Fault("language_model", *(_STALLED if said else _SILENT)))
    except StopAsyncIteration:
        return None
    except AdapterError as exc:
        raise Fault("language_model", _code(exc), str(exc)) from exc


def _code(exc: AdapterError) -> str:
    return f"language_model_{exc.code.removeprefix('provider_')}"
