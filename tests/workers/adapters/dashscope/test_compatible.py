"""DashScope's OpenAI mode, with what its file in `configs/providers` says."""

from pkgutil import resolve_name

import numpy as np
import pytest

from tests.support.dashscope import KEY, DashScope, dashscope
from workers.adapters import catalogue, registry
from workers.adapters.endpoint import Endpoint
from workers.adapters.llm.base import Message


def reached(server: DashScope) -> Endpoint:
    return Endpoint(server.url + catalogue.providers()["dashscope"].path, KEY)


def options(kind: str) -> tuple[str, dict[str, object]]:
    given = {"provider": "dashscope", **getattr(catalogue.providers()["dashscope"], kind)}
    return str(given.pop("adapter")), given


async def test_its_language_model_answers():
    adapter, given = options("language_model")
    with dashscope(reply="We open at nine.") as server:
        model = registry.language_model(adapter, reached(server), given)
        messages = [Message("system", "Be brief."), Message("user", "When do you open?")]
        told = [piece async for piece in model.stream(messages, max_tokens=50)]
        assert server.requests[0].body["model"] == "qwen-plus"
    assert "".join(piece for piece in told if isinstance(piece, str)) == "We open at nine."


@pytest.mark.parametrize("count", [1, 25])
async def test_its_embeddings_are_asked_for_in_calls_that_it_takes(count: int):
    adapter, given = options("embedding")
    embedder = resolve_name(registry.EMBEDDERS[adapter])
    texts = [f"passage number {number}" for number in range(count)]
    with dashscope() as server:
        vectors = await embedder(reached(server), given).embed(texts)
        assert [len(asked.body["input"]) for asked in server.requests] == ([1] if count == 1 else [10, 10, 5])
    assert vectors.shape == (count, 1024)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
