"""What the avatar does besides talking: calls of tools in the middle of an answer."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from project.errors import Unavailable
from sessions.pipeline import respond
from sessions.pipeline.ports import PersonaSetup
from sessions.pipeline.tools import misfit
from tests.sessions.pipeline.cast import in_virtual_time, room, tokens
from workers.adapters.llm.base import ToolCall, Usage

ORDER = {
    "type": "webhook",
    "name": "order",
    "description": "Where an order is",
    "url": "https://shop.example.com/order",
    "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
    "filler": "",
}
TOOLS = ({"type": "end_call", "say": ""}, {"type": "handover", "say": "", "end": False}, ORDER)
END = ToolCall("c1", "end_call", {})
HUMAN = ToolCall("c1", "handover", {"reason": "wants a  human"})
LOOK = ToolCall("c1", "order", {"number": 7})


@dataclass
class Desk:
    """Answers after `seconds`; an error is raised instead."""

    answer: Any = '{"status": "on its way"}'
    seconds: float = 0.1
    ended: int = 0
    reasons: list[str] = field(default_factory=list)
    called: list[Any] = field(default_factory=list)
    left: int = 0

    def end(self) -> None:
        self.ended += 1

    async def handover(self, reason: str) -> None:
        self.reasons.append(reason)
        if isinstance(self.answer, Exception):
            raise self.answer

    async def call(self, name: str, url: str, arguments: Any) -> str:
        self.called.append((name, url, dict(arguments)))
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.left += 1
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def scene(answers: list[Any], desk: Desk, **persona: Any) -> Any:
    return room(answers=answers, desk=desk, persona=PersonaSetup(tools=TOOLS, **persona))


@in_virtual_time
async def test_the_call_ends_when_the_goodbye_was_heard():
    desk = Desk()
    async with scene([[*tokens("Goodbye, take care!"), END]], desk) as talk:
        await talk.conversation.ask(text="Bye")
        await talk.until("speech.started")
        assert desk.ended == 0
        metrics = await talk.until("metrics")
        assert desk.ended == 1
    assert talk.of("speech.ended")[0]["heard_text"] == "Goodbye, take care!"
    assert metrics["tools"] == [{"name": "end_call", "outcome": "done", "ms": 0}]
    assert len(talk.model.asked) == 1


@in_virtual_time
async def test_an_end_without_a_word_says_goodbye():
    desk = Desk()
    async with scene([[0.1, END]], desk) as talk:
        await talk.conversation.ask(text="Bye")
        await talk.until("metrics")
    assert talk.voice.said
    assert talk.stage.turns[2].text == "Goodbye, and thank you for your call!"
    assert desk.ended == 1


@in_virtual_time
async def test_who_speaks_into_the_goodbye_is_heard():
    desk = Desk()
    async with scene([[0.1, END], tokens("Yes?")], desk) as talk:
        await talk.conversation.ask(text="Bye")
        await talk.until("speech.started")
        await talk.conversation.ask(text="Wait, one more thing")
        await talk.until("metrics", 2)
    assert desk.ended == 0


@in_virtual_time
async def test_a_human_is_asked_for_once_the_model_wants_one():
    desk = Desk()
    async with scene([[0.1, HUMAN]], desk) as talk:
        await talk.conversation.ask(text="I want a human")
        await talk.until("metrics")
    assert desk.reasons == ["wants a human"]
    assert talk.of("session.handover") == [{"type": "session.handover", "turn": 2, "reason": "wants a human"}]
    assert talk.stage.turns[2].text == "I will get a colleague of mine for you."
    assert desk.ended == 0


@in_virtual_time
async def test_a_handover_that_fails_is_told_to_the_model():
    desk = Desk(answer=Unavailable("no", code="database_unavailable"))
    async with scene([[0.1, HUMAN], tokens("Nobody is there, sorry.")], desk) as talk:
        await talk.conversation.ask(text="I want a human")
        metrics = await talk.until("metrics")
    assert metrics["tools"][0]["outcome"] == "failed"
    assert talk.of("session.handover") == []
    assert talk.stage.turns[2].text == "Nobody is there, sorry."


@in_virtual_time
async def test_the_answer_of_a_server_goes_back_to_the_model():
    desk = Desk()
    answers = [
        [*tokens("Let me see."), LOOK, Usage("llm", "m", 10, 5)],
        [*tokens("It is on its way."), Usage("llm", "m", 30, 7)],
    ]
    async with scene(answers, desk) as talk:
        await talk.conversation.ask(text="Where is order 7?")
        metrics = await talk.until("metrics")
    assert desk.called == [("order", ORDER["url"], {"number": 7})]
    asked, result = talk.model.asked[1][-2:]
    assert (asked.role, asked.content, asked.tool_calls) == ("assistant", "Let me see.", (LOOK,))
    assert (result.role, result.content, result.tool_call_id) == ("tool", '{"status": "on its way"}', "c1")
    assert talk.stage.turns[2].text == "Let me see. It is on its way."
    assert (metrics["llm_provider"], metrics["llm_prompt_tokens"], metrics["llm_completion_tokens"]) == (
        "llm",
        40,
        12,
    )
    assert metrics["tools"] == [{"name": "order", "outcome": "done", "ms": 100}]


@in_virtual_time
async def test_a_slow_server_is_bridged_by_a_few_words():
    async with scene([[0.1, LOOK], tokens("It is on its way.")], Desk(seconds=3.0)) as talk:
        await talk.conversation.ask(text="Where is order 7?")
        await talk.until("speech.started")
        assert talk.stage.turns[2].text.startswith("One moment, please.")
        await talk.until("metrics")
    assert talk.stage.turns[2].text == "One moment, please. It is on its way."


@in_virtual_time
async def test_an_interruption_gives_the_tool_up():
    desk = Desk(seconds=4.0)
    async with scene([[0.1, LOOK]], desk) as talk:
        await talk.conversation.ask(text="Where is order 7?")
        await asyncio.sleep(0.5)
        await talk.conversation.interrupt()
        await asyncio.sleep(0.1)
        assert desk.left == 1


@in_virtual_time
async def test_a_server_that_hangs_is_given_up():
    async with scene([[0.1, LOOK], tokens("I cannot see it now.")], Desk(seconds=3600)) as talk:
        await talk.conversation.ask(text="Where is order 7?")
        metrics = await talk.until("metrics")
    assert metrics["tools"][0]["outcome"] == "failed"
    assert talk.model.asked[1][-1].content.startswith("This did not work.")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (ToolCall("c1", "order", {"number": "seven"}), "The arguments do not fit: number:"),
        (ToolCall("c1", "order", {}), "The arguments do not fit: arguments:"),
        (ToolCall("c1", "order", {}, broken=True), "The arguments are no JSON object"),
        (ToolCall("c1", "reboot", {}), "There is no such tool."),
    ],
)
def test_what_does_not_fit_is_never_sent(call, told):
    @in_virtual_time
    async def talked():
        desk = Desk()
        async with scene([[0.1, call], tokens("Which number?")], desk) as talk:
            await talk.conversation.ask(text="Where is my order?")
            metrics = await talk.until("metrics")
        assert desk.called == []
        assert metrics["tools"][0]["outcome"] == "refused"
        assert talk.model.asked[1][-1].content.startswith(told)

    talked()


@in_virtual_time
async def test_a_model_that_never_stops_asking_has_to_answer():
    rounds = respond.MAX_ROUNDS
    async with scene([[0.1, LOOK]] * rounds + [tokens("I give up.")], Desk()) as talk:
        await talk.conversation.ask(text="Where is order 7?")
        await talk.until("metrics")
    assert talk.model.tools == [["end_call", "handover", "order"]] * rounds + [[]]
    assert talk.stage.turns[2].text == "I give up."


@in_virtual_time
async def test_without_tools_the_model_is_offered_none():
    async with room(answers=[tokens("Hello.")]) as talk:
        await talk.conversation.ask(text="Hi")
        await talk.until("metrics")
    assert talk.model.tools == [[]]


def test_expressions_of_a_schema_are_not_run():
    schema = {"type": "object", "properties": {"pattern": {"type": "string", "pattern": "(a+)+$"}}}
    assert misfit(schema, {"pattern": "a" * 50 + "!"}) == ""
    assert misfit(schema | {"additionalProperties": False}, {"pattern": 5}).startswith("pattern:")


@in_virtual_time
async def test_a_call_by_a_model_that_was_offered_nothing_is_left_alone():
    async with room(answers=[[*tokens("It is on its way."), LOOK], tokens("Never asked.")]) as talk:
        await talk.conversation.ask(text="Where is it?")
        await talk.until("metrics")
    assert talk.of("speech.ended")[0]["heard_text"] == "It is on its way."
    assert len(talk.model.asked) == 1
