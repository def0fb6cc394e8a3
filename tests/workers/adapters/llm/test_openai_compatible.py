"""The client against a server whose delays and faults are known."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from project.bench.provider_stub import REPLY, Stub, provider_stub
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.llm.base import Message, Usage
from workers.adapters.llm.openai_compatible import ChatDialect, OpenAICompatible, model

QUESTION = [Message("system", "Be brief."), Message("user", "When are you open?")]


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "BACKOFF_SECONDS", 0.0)


@pytest.fixture
def stub():
    with provider_stub(first_token_ms=5, token_ms=0, reply="We are open from nine to six.") as running:
        yield running


@pytest.fixture
async def ask(stub: Stub):
    dialect = ChatDialect(model="small", first_token=1.0, between_tokens=0.6)
    made = OpenAICompatible(Endpoint(stub.url + "/v1", "secret"), dialect)

    async def ask(limit: int = 100, **more: str) -> str:
        pieces = made.stream(QUESTION, max_tokens=limit, **more)
        return "".join([piece async for piece in pieces if isinstance(piece, str)])

    ask.model = made  # type: ignore[attr-defined]
    yield ask
    await made.aclose()


def misbehave(stub: Stub, *behaviours: str) -> None:
    stub.settings.misbehave["chat"] = list(behaviours)


async def test_an_answer_arrives_in_pieces(stub, ask):
    *pieces, cost = [piece async for piece in ask.model.stream(QUESTION, max_tokens=100)]
    assert "".join(pieces) == "We are open from nine to six."
    assert len(pieces) > 1
    assert cost == Usage("openai_compatible", "small", 0, len(pieces))


async def test_the_server_is_asked_for_a_stream_with_a_limit(stub, ask):
    await ask(limit=50)
    (asked,) = stub.state.of("chat")
    assert asked.body == {
        "model": "small",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "When are you open?"},
        ],
        "stream": True,
        "max_tokens": 50,
    }


async def test_knowledge_joins_the_system_message(stub, ask):
    await ask(knowledge="Open from nine to six.")
    system, user = stub.state.of("chat")[0].body["messages"]
    assert system["content"].startswith("Be brief.")
    assert system["content"].endswith("Open from nine to six.")
    assert user["role"] == "user"


async def test_turns_share_a_connection(stub, ask):
    for _ in range(3):
        await ask()
    assert {asked.connection for asked in stub.state.of("chat")} == {0}


async def test_the_first_question_finds_a_connection_open(stub, ask):
    await ask.model.warm()
    await ask()
    assert [(asked.kind, asked.connection) for asked in stub.state.asked] == [("models", 0), ("chat", 0)]


@pytest.mark.parametrize("behaviour", ["500", "drop", "silent"])
async def test_getting_ready_never_fails(stub, behaviour):
    stub.settings.misbehave["models"] = [behaviour]
    model = OpenAICompatible(Endpoint(stub.url + "/v1"), ChatDialect(model="small", connect=0.2))
    await model.warm()
    await model.aclose()


@pytest.mark.parametrize("behaviour", ["thinking", "think_tag", "comments"])
async def test_only_the_answer_itself_is_spoken(stub, ask, behaviour):
    misbehave(stub, behaviour)
    assert await ask() == "We are open from nine to six."


@pytest.mark.parametrize("behaviour", ["500", "503", "429", "drop"])
async def test_a_busy_or_broken_server_is_asked_again(stub, ask, behaviour):
    misbehave(stub, behaviour, behaviour)
    assert await ask() == "We are open from nine to six."
    assert len(stub.state.of("chat")) == 3


@pytest.mark.parametrize(
    ("behaviours", "code", "times"),
    [
        (["500", "always"], "provider_error", 3),
        (["429", "always"], "provider_busy", 3),
        (["429 insufficient_quota"], "provider_quota", 1),
        (["401"], "provider_unauthorized", 1),
        (["404"], "provider_not_found", 1),
        (["drop", "always"], "provider_unreachable", 3),
        (["not_a_stream"], "provider_error", 1),
        (["silent"], "provider_timeout", 1),
        (["content_filter"], "provider_refused", 1),
    ],
)
async def test_faults_are_judged(stub, ask, behaviours, code, times):
    misbehave(stub, *behaviours)
    with pytest.raises(AdapterError) as caught:
        await ask()
    assert caught.value.code == code
    assert caught.value.retryable == (times > 1 or code == "provider_timeout")
    assert len(stub.state.of("chat")) == times
    assert "language model" in str(caught.value)


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("stall", "provider_timeout"),
        ("error", "provider_busy"),
        ("garbage", "provider_error"),
        ("no_done", "provider_truncated"),
        ("cut", "provider_unreachable"),
    ],
)
async def test_nothing_is_asked_again_once_text_was_delivered(stub, ask, behaviour, code):
    misbehave(stub, behaviour)
    said: list[str] = []

    async def listen() -> None:
        async for text in ask.model.stream(QUESTION, max_tokens=100):
            said.append(text)  # noqa: PERF401 - what came before the fault counts

    with pytest.raises(AdapterError) as caught:
        await listen()
    assert caught.value.code == code
    assert "".join(said).startswith("We are open")
    assert len(stub.state.of("chat")) == 1


async def test_a_server_that_asks_for_more_patience_than_a_talk_has_is_not_waited_for(stub, ask):
    misbehave(stub, "429 5")
    with pytest.raises(AdapterError) as caught:
        await ask()
    assert caught.value.code == "provider_busy"
    assert len(stub.state.of("chat")) == 1


async def test_the_token_limit_holds_where_the_server_ignores_it(stub, ask):
    stub.settings.reply = " ".join(["word"] * 200)
    # The stub keeps to max_tokens as well; asked under another name it does not.
    ask.model._limit_field = "max_completion_tokens"
    assert len((await ask(limit=7)).split()) == 7


async def test_a_model_that_wants_the_limit_under_its_new_name_gets_it(stub, ask):
    misbehave(stub, "new_limit", "new_limit", "new_limit")
    assert await ask() == await ask() == "We are open from nine to six."
    assert ["max_tokens" in asked.body for asked in stub.state.of("chat")] == [True, False, False]


async def test_leaving_an_answer_closes_its_connection_at_once(stub, ask):
    stub.settings.token_ms = 20
    stub.settings.reply = REPLY
    answer: AsyncGenerator[str, None] = ask.model.stream(QUESTION, max_tokens=100)
    async with aclosing(answer):
        await anext(answer)
        left = time.monotonic()
    (asked,) = stub.state.of("chat")
    async with asyncio.timeout(5):
        while asked.left_at is None:
            await asyncio.sleep(0.001)
    assert asked.left_at - left < 0.05


async def test_cancelling_the_task_closes_the_connection_before_the_first_token(stub, ask):
    misbehave(stub, "silent")
    waiting = asyncio.create_task(ask())
    async with asyncio.timeout(5):
        while not stub.state.of("chat"):
            await asyncio.sleep(0.001)
    waiting.cancel()
    left = time.monotonic()
    (asked,) = stub.state.of("chat")
    async with asyncio.timeout(5):
        while asked.left_at is None:
            await asyncio.sleep(0.001)
    assert asked.left_at - left < 0.05
