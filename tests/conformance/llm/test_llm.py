"""Every language model against a server of its provider's kind."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.conformance.llm.suite import CASES, KEY, TEXT, LlmCase
from tests.support.chat_server import ANSWER, Chat, chat_server
from workers.adapters.errors import AdapterError
from workers.adapters.llm.base import LanguageModel, Message, Piece, Tool, ToolCall, Usage
from workers.adapters.llm.openai_compatible import model as client

ASKED = [Message("system", "Be brief."), Message("user", TEXT)]
TOOLS = [Tool("order_status", "Where an order is"), Tool("end_call", "End the call")]
CALL = ToolCall("call_a", "order_status", {"number": 7, "name": "Zoë"})
BEGINNING = "We are open from"
pytestmark = pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "BACKOFF_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def nothing_told(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Neither the key nor the text stands in any log, even at the finest level."""
    caplog.set_level(logging.DEBUG)
    yield
    ours = [one.getMessage() for one in caplog.records if not one.name.startswith(("tests.", "aiohttp."))]
    assert not [line for line in ours if KEY in line or TEXT in line or BEGINNING in line]


@pytest.fixture
def chat(case: LlmCase) -> Iterator[Chat]:
    with chat_server(case.kind, KEY) as running:
        yield running


@pytest.fixture
async def mind(case: LlmCase, chat: Chat):
    before = asyncio.all_tasks()
    made = case.make(chat)
    yield made
    await made.aclose()
    await soon(lambda: asyncio.all_tasks() - {asyncio.current_task()} <= before, "a task is left")
    await soon(lambda: chat.open_now == 0, "a request is left")


async def soon(true: Callable[[], bool], what: str) -> None:
    """Wait until something that happens elsewhere has happened."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.002)


async def asked(
    mind: LanguageModel, messages: Sequence[Message] = ASKED, *, tools: Sequence[Tool] = (), limit: int = 100
) -> list[Piece]:
    return [piece async for piece in mind.stream(messages, max_tokens=limit, tools=tools)]


async def failing(mind: LanguageModel) -> tuple[AdapterError, str]:
    """How it fails, and what it said before that."""
    said: list[Piece] = []

    async def listen() -> None:
        async for piece in mind.stream(ASKED, max_tokens=100):
            said.append(piece)  # noqa: PERF401 - what came before the error stays

    with pytest.raises(AdapterError) as caught:
        await listen()
    return caught.value, text(said)


def text(pieces: Sequence[Piece]) -> str:
    return "".join(piece for piece in pieces if isinstance(piece, str))


# The answer


async def test_an_answer_comes_in_pieces_and_tells_what_it_cost(case, mind):
    *pieces, cost = await asked(mind)
    assert text(pieces) == ANSWER
    assert len(pieces) > 5
    assert isinstance(cost, Usage)
    assert cost.provider == case.name
    assert (cost.prompt_tokens, cost.completion_tokens) == ((42, 12) if case.counts else (0, 0))


async def test_the_key_is_sent_and_nothing_of_the_machines_settings(case, mind, chat, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-other")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-other")
    made = case.make(chat)
    await asked(made)
    await made.aclose()
    (headers,) = chat.headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert not [name for name in headers if name.startswith("openai-")]


async def test_a_server_without_keys_is_sent_none(case, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    with chat_server(case.kind) as chat:
        made = case.make(chat, key="")
        await made.warm()
        assert text(await asked(made)) == ANSWER
        await made.aclose()
    assert "authorization" not in chat.headers[0]


@pytest.mark.parametrize("way", ["reasoning", "think", "comments", "crlf", "one-byte", "no-done"])
async def test_however_it_is_sent_only_the_answer_is_told(mind, chat, way):
    chat.misbehave(way)
    assert text(await asked(mind)) == ANSWER


async def test_answers_share_a_connection(mind, chat):
    for _ in range(3):
        assert text(await asked(mind)) == ANSWER
    assert len(chat.connections) == 1


async def test_the_limit_holds_where_the_server_ignores_it(mind, chat):
    chat.misbehave("no-limit")
    assert len(text(await asked(mind, limit=7)).split()) == 7


async def test_a_conversation_that_ends_with_the_assistant_and_two_system_messages_is_taken(mind, chat):
    talk = [*ASKED, Message("system", "Be kind."), Message("assistant", "Well,")]
    assert text(await asked(mind, talk)) == ANSWER
    assert len(chat.requests) == 1


async def test_knowledge_is_told(mind, chat):
    pieces = [piece async for piece in mind.stream(ASKED, max_tokens=50, knowledge="The shop is blue.")]
    assert text(pieces) == ANSWER
    assert "The shop is blue." in chat.requests[0]["messages"][0]["content"]


# Tools


async def test_a_tool_is_called_in_whole(mind, chat):
    chat.misbehave("tool")
    *pieces, cost = await asked(mind, tools=TOOLS)
    assert pieces == [CALL]
    assert isinstance(cost, Usage)
    assert [tool["function"]["name"] for tool in chat.requests[0]["tools"]] == ["order_status", "end_call"]


async def test_two_calls_are_told_apart(mind, chat):
    chat.misbehave("two-tools")
    assert (await asked(mind, tools=TOOLS))[:2] == [CALL, ToolCall("call_b", "end_call", {})]


async def test_arguments_that_break_off_are_marked(mind, chat):
    chat.misbehave("broken-call")
    assert (await asked(mind, tools=TOOLS))[0] == ToolCall("call_a", "order_status", {}, broken=True)


async def test_what_came_of_a_tool_is_told_to_the_model(mind, chat):
    talk = [*ASKED, Message("assistant", "", (CALL,)), Message("tool", "It is on its way.", (), "call_a")]
    assert text(await asked(mind, talk, tools=TOOLS)) == ANSWER
    assert len(chat.requests) == 1


async def test_without_tools_none_are_offered(mind, chat):
    await asked(mind)
    assert "tools" not in chat.requests[0]


@pytest.mark.parametrize(("way", "left_out"), [("no-tools", "tools"), ("no-counting", "stream_options")])
async def test_a_server_that_refuses_an_extra_is_asked_without_it_from_then_on(mind, chat, way, left_out):
    chat.misbehave(*[way] * 6)
    assert text(await asked(mind, tools=TOOLS)) == ANSWER
    before = len(chat.requests)
    assert text(await asked(mind, tools=TOOLS)) == ANSWER
    assert len(chat.requests) == before + 1
    assert left_out not in chat.requests[-1]


async def test_a_refusal_of_something_else_changes_nothing(case, mind, chat):
    chat.misbehave("400", "400", "400")
    with pytest.raises(AdapterError):
        await asked(mind, tools=TOOLS)
    chat.ways.clear()
    assert text(await asked(mind, tools=TOOLS)) == ANSWER
    assert "tools" in chat.requests[-1]
    assert ("stream_options" in chat.requests[-1]) == case.counts


# What goes wrong


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("stall", ("provider_timeout", True, True)),
        ("silent", ("provider_timeout", True, False)),
        ("cut", ("provider_unreachable", True, True)),
        ("truncated", ("provider_truncated", True, True)),
        ("error", ("provider_busy", True, True)),
        ("bare-error", ("provider_busy", True, True)),
        ("garbage", ("provider_error", False, True)),
        ("not-a-stream", ("provider_error", False, False)),
        ("content-filter", ("provider_refused", False, True)),
        ("401", ("provider_unauthorized", False, False)),
        ("404", ("provider_not_found", False, False)),
    ],
)
async def test_faults_are_judged_and_tell_no_secret(mind, chat, way, expected):
    chat.misbehave(way)
    error, before = await failing(mind)
    assert (error.code, error.retryable, bool(before)) == expected
    assert len(chat.requests) == 1
    told = f"{error!r} {error} {error.__cause__!r}"
    assert KEY not in told
    assert TEXT not in told


@pytest.mark.parametrize("way", ["429", "500", "503", "drop"])
async def test_a_busy_server_is_asked_again_before_the_first_word(mind, chat, way):
    chat.misbehave(way)
    assert text(await asked(mind)) == ANSWER
    assert len(chat.requests) == 2


@pytest.mark.parametrize(("way", "code"), [("429", "provider_busy"), ("500", "provider_error")])
async def test_one_that_stays_busy_is_given_up(mind, chat, way, code):
    chat.misbehave(*[way] * 5)
    error, _ = await failing(mind)
    assert (error.code, error.retryable) == (code, True)
    assert len(chat.requests) == 3


async def test_an_empty_answer_is_told_as_it_is(mind, chat):
    chat.misbehave("empty")
    assert text(await asked(mind)) == ""


# Leaving


async def test_leaving_is_seen_by_the_server(mind, chat):
    answer = mind.stream(ASKED, max_tokens=100)
    chat.misbehave("stall")
    await anext(answer)
    await answer.aclose()
    await soon(lambda: chat.left == 1, "the server was not left")


async def test_cancelling_is_seen_by_the_server_before_the_first_word(mind, chat):
    chat.misbehave("silent")
    waiting = asyncio.create_task(asked(mind))
    await soon(lambda: len(chat.requests) == 1, "nothing was asked")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await soon(lambda: chat.left == 1, "the server was not left")
