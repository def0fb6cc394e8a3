"""Language models that stand in for each other."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from workers.adapters import health
from workers.adapters.breaker import Kind, breaker
from workers.adapters.errors import AdapterError
from workers.adapters.llm.base import LanguageModel, Message, Piece, Tool, Usage

KIND: Kind = "llm"


class FallbackModel:
    """Asks its models in order, the next one only while nothing was delivered.

    One whose breaker is open is passed over, unless nobody else is left. Exactly one `Usage` ends an
    answer, so that who served is always known.
    """

    def __init__(self, models: Sequence[LanguageModel]) -> None:
        if not models:
            raise ValueError("a chain needs a model")
        self._models = tuple(models)
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
        for number, model in enumerate(self._models, 1):
            last = number == len(self._models)
            if not breaker(KIND, model.provider).allows() and not last:
                continue
            answer = _watched(
                model,
                model.stream(
                    messages, max_tokens=max_tokens, knowledge=knowledge, language=language, tools=tools
                ),
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


async def _watched(model: LanguageModel, answer: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """One model's answer; how it did is written down."""
    asked, counted, first_ms = time.monotonic(), False, None
    try:
        async with aclosing(answer):
            async for piece in answer:
                if first_ms is None:
                    first_ms = (time.monotonic() - asked) * 1000
                    _well(model, first_ms)
                counted = counted or isinstance(piece, Usage)
                yield piece
    except AdapterError as exc:
        health.failed(KIND, model.provider, exc)
        breaker(KIND, model.provider).failed(exc)
        raise
    if first_ms is None:
        _well(model, (time.monotonic() - asked) * 1000)
    if not counted:
        yield Usage(model.provider, "", 0, 0)


def _well(model: LanguageModel, first_ms: float) -> None:
    health.heard(KIND, model.provider, first_ms)
    breaker(KIND, model.provider).succeeded()
