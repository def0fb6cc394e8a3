"""Language models that stand in for each other."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from workers.adapters import health
from workers.adapters.breaker import Kind, breaker
from workers.adapters.errors import AdapterError
from workers.adapters.llm.base import LanguageModel, Message, Piece, Tool, Usage

KIND: Kind = "llm"
SECONDS = 20.0
NEARLY = 0.9
"""Who was left after this share of the time without a word counts as failed."""


class FallbackModel:
    """Asks its models in order, the next one only while nothing was delivered.

    One whose breaker is open is passed over, unless nobody else is left. `seconds` is how long whoever
    asks waits for the first piece: each that another follows gets half of what is left of it. Exactly one
    `Usage` ends an answer, so that who served is always known.
    """

    def __init__(self, models: Sequence[LanguageModel], *, seconds: float = SECONDS) -> None:
        if not models:
            raise ValueError("a chain needs a model")
        self._models = tuple(models)
        self._seconds = seconds
        self.provider = models[0].provider

    async def warm(self) -> None:
        """Get the first one ready that is worth asking."""
        ready = [model for model in self._models if not breaker(KIND, model.provider).open]
        await (ready or self._models)[0].warm()

    async def aclose(self) -> None:
        for model in self._models:
            await model.aclose()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        knowledge: str = "",
        language: str = "en",
        tools: Sequence[Tool] = (),
    ) -> AsyncGenerator[Piece, None]:
        now = asyncio.get_running_loop().time
        until = now() + self._seconds
        for number, model in enumerate(self._models, 1):
            last = number == len(self._models)
            if not breaker(KIND, model.provider).allows() and not last:
                continue
            answer = _watched(
                model,
                model.stream(
                    messages, max_tokens=max_tokens, knowledge=knowledge, language=language, tools=tools
                ),
                patience=None if last else max((until - now()) / 2, 0.0),
                slow=self._seconds * NEARLY,
            )
            delivered = False
            try:
                async with aclosing(answer):
                    async for piece in answer:
                        delivered = True
                        yield piece
                return
            except AdapterError:
                if delivered or last:
                    raise


async def _watched(
    model: LanguageModel, answer: AsyncGenerator[Piece, None], *, patience: float | None, slow: float
) -> AsyncGenerator[Piece, None]:
    """One model's answer; how it did is written down. `patience` are the seconds to its first piece."""
    asked, counted, first_ms = time.monotonic(), False, None
    begun = asyncio.get_running_loop().time()
    try:
        async with aclosing(answer):
            while (piece := await _next(model, answer, patience if first_ms is None else None)) is not None:
                if first_ms is None:
                    first_ms = (time.monotonic() - asked) * 1000
                    _well(model, first_ms)
                counted = counted or isinstance(piece, Usage)
                yield piece
    except AdapterError as exc:
        _badly(model, exc)
        raise
    except (GeneratorExit, asyncio.CancelledError):
        if first_ms is None and asyncio.get_running_loop().time() - begun >= slow:
            _badly(model, _late(model))
        raise
    if first_ms is None:
        _well(model, (time.monotonic() - asked) * 1000)
    if not counted:
        yield Usage(model.provider, "", 0, 0)


async def _next(
    model: LanguageModel, answer: AsyncGenerator[Piece, None], patience: float | None
) -> Piece | None:
    """The next piece, None at the end. Raises `AdapterError`."""
    try:
        async with asyncio.timeout(patience):
            return await anext(answer, None)
    except TimeoutError:
        raise _late(model) from None


def _late(model: LanguageModel) -> AdapterError:
    return AdapterError(
        "The language model did not answer in time.",
        provider=model.provider,
        retryable=True,
        code="provider_timeout",
    )


def _well(model: LanguageModel, first_ms: float) -> None:
    health.heard(KIND, model.provider, first_ms)
    breaker(KIND, model.provider).succeeded()


def _badly(model: LanguageModel, error: AdapterError) -> None:
    health.failed(KIND, model.provider, error)
    breaker(KIND, model.provider).failed(error)
