import pytest

from project.bench.provider_stub import provider_stub
from sessions.pipeline.language import language_model
from workers.adapters.llm.base import Message


async def test_without_a_server_the_scripted_model_answers(settings):
    settings.LLM_BASE_URL = ""
    assert language_model().provider == "scripted"


async def test_every_session_of_a_process_shares_a_model(settings):
    settings.LLM_BASE_URL = ""
    assert language_model() is language_model()


@pytest.fixture
def stub():
    with provider_stub(first_token_ms=0, token_ms=0, reply="At six.") as running:
        yield running


async def test_a_server_is_used_where_one_is_named(settings, stub):
    settings.LLM_BASE_URL, settings.LLM_MODEL, settings.LLM_API_KEY = stub.url + "/v1", "small", "key"
    model = language_model()
    assert language_model() is model
    said = [part async for part in model.stream([Message("user", "When?")], max_tokens=9)]
    await model.aclose()
    *words, cost = said
    assert "".join(words) == "At six."
    assert cost.provider == "llm"
    assert len(stub.state.of("models")) == 1
    assert stub.state.of("chat")[0].body["model"] == "small"
