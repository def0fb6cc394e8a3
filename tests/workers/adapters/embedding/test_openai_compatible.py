"""Vectors over HTTP, from a server that is strict and one that misbehaves."""

import logging
from collections.abc import Iterator

import numpy as np
import pytest

from tests.support.embedding_server import KEY, MODEL, Server, embedding_server, vector
from workers.adapters import registry, retry
from workers.adapters.embedding import openai_compatible
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError


@pytest.fixture
def server() -> Iterator[Server]:
    with embedding_server() as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.001)


def embedder(server: Server, key: str = KEY, **options):
    return openai_compatible.make(Endpoint(server.url, key), {"model": MODEL, "provider": "test", **options})


async def test_vectors_come_in_order_and_of_length_one(server):
    texts = [f"text {n}" for n in range(70)]
    found = await embedder(server, batch=32).embed(texts)
    assert [len(request["input"]) for request in server.requests] == [32, 32, 6]
    assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    expected = np.stack([vector(text) for text in texts])
    assert np.allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


async def test_options_say_how_it_is_asked(server):
    made = embedder(server, dimensions=64, question_prefix="query: ", characters=10)
    assert (await made.embed(["x" * 99, " "], role="question")).shape == (2, 64)
    assert server.requests[0]["input"] == ["query: " + "x" * 10, "query: ."]
    with pytest.raises(TypeError):
        embedder(server, colour="blue")


async def test_base64_is_read_as_well(server):
    server.misbehave("base64")
    assert (await embedder(server).embed(["a"])).shape == (1, 256)


@pytest.mark.parametrize("way", ["429", "500", "cut"])
async def test_what_may_pass_is_tried_again(server, way):
    server.misbehave(way)
    assert len(await embedder(server).embed(["a"])) == 1
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("ways", "code", "asked"),
    [(["401"], "provider_unauthorized", 1), (["500"] * 3, "provider_error", 3),
     (["garbage"], "provider_error", 1), (["short"], "provider_error", 1), (["nan"], "provider_error", 1)],
)  # fmt: skip
async def test_what_is_wrong_is_told_without_the_text_or_the_key(server, ways, code, asked, caplog):
    caplog.set_level(logging.DEBUG)
    server.misbehave(*ways)
    with pytest.raises(AdapterError) as error:
        await embedder(server).embed(["a private question"])
    assert (error.value.code, len(server.requests)) == (code, asked)
    assert KEY not in caplog.text + str(error.value)
    assert "private" not in caplog.text + str(error.value)


async def test_nobody_there():
    gone = openai_compatible.make(Endpoint("http://127.0.0.1:1/v1"), {"model": "m"})
    with pytest.raises(AdapterError) as error:
        await gone.embed(["a"])
    assert error.value.code == "provider_unreachable"


def test_the_registry_knows_it():
    assert registry.EMBEDDERS["openai_compatible"] == f"{openai_compatible.__name__}:make"
