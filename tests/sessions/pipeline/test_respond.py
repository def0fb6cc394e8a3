"""What goes into an answer besides the question, and what is kept out of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from sessions.pipeline.filters import Citations, LengthLimit
from sessions.pipeline.ports import PersonaSetup
from tests.sessions.pipeline.cast import ScriptedModel, in_virtual_time, room, tokens
from workers.adapters.llm.base import Usage

MONEY = {"name": "money", "phrases": ["invest in"], "answer": "I say nothing of money.", "action": "refuse"}
RUDE = {"name": "rudeness", "phrases": ["you idiot"], "answer": "Then goodbye.", "action": "end"}


@dataclass(frozen=True)
class Found:
    text: str
    page: int | None = None
    document_id: str = "doc_1"
    name: str = "prices.pdf"
    index: int = 4
    score: float = 1.0


@dataclass
class Library:
    found: Sequence[Found] = ()
    asked: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    closed: bool = False

    def prefetch(self, text: str) -> None:
        self.early.append(text)

    async def passages(self, question: str, *, deadline_seconds: float = 0.15) -> Sequence[Found]:
        self.asked.append(question)
        return self.found

    def close(self) -> None:
        self.closed = True


@dataclass
class Bell:
    ended: int = 0

    def end(self) -> None:
        self.ended += 1


@in_virtual_time
async def test_passages_are_given_to_the_model_and_told_as_sources():
    library = Library([Found("A service costs 60 euros.", page=2), Found("We open at nine.", name="notes")])
    persona = PersonaSetup(knowledge="The shop is blue.")
    async with room(
        answers=[tokens("It costs 60 euros [1]. [2]")], persona=persona, retriever=library
    ) as talk:
        await talk.conversation.ask(text="What is a service?")
        metrics = await talk.until("metrics")
    assert library.asked == ["What is a service?"]
    (known,) = talk.model.known
    assert known.startswith("The shop is blue.\n\n")
    assert known.endswith(
        "[1] prices.pdf, page 2:\nA service costs 60 euros.\n\n[2] notes:\nWe open at nine."
    )
    sources = [
        {"document": "doc_1", "name": "prices.pdf", "page": 2, "passage": 4},
        {"document": "doc_1", "name": "notes", "page": None, "passage": 4},
    ]
    assert talk.of("reply.sources") == [{"type": "reply.sources", "turn": 2, "sources": sources}]
    assert talk.kinds().index("reply.sources") < talk.kinds().index("reply.delta")
    assert talk.stage.turns[2].sources == sources
    assert talk.stage.turns[2].text == "It costs 60 euros."
    assert metrics["retrieval_ms"] == 0


@in_virtual_time
async def test_nothing_found_is_no_source():
    async with room(answers=[tokens("I do not know.")], retriever=Library()) as talk:
        await talk.conversation.ask(text="What?")
        await talk.until("metrics")
    assert talk.of("reply.sources") == []
    assert talk.stage.turns[2].sources == []


@in_virtual_time
async def test_what_is_being_said_is_looked_up_early():
    library = Library()
    async with room(retriever=library) as talk:
        talk.conversation._heard_partial("When are")
    assert library.early == ["When are"]
    assert library.closed


@in_virtual_time
async def test_a_topic_that_is_left_alone_does_not_reach_the_model():
    persona = PersonaSetup(topics=(MONEY,))
    async with room(answers=[], persona=persona) as talk:
        await talk.conversation.ask(text="Should I Invest  in gold?")
        metrics = await talk.until("metrics")
    assert talk.model.asked == []
    assert talk.stage.turns[2].text == "I say nothing of money."
    assert metrics["topic"] == "money"
    assert talk.stage.turns[2].status == "done"


@in_virtual_time
async def test_only_the_newest_question_counts():
    persona = PersonaSetup(topics=(MONEY,))
    async with room(answers=[tokens("At nine.")], persona=persona) as talk:
        await talk.conversation.ask(text="Should I invest in gold?")
        await talk.conversation.ask(text="When do you open?")
        await talk.until("metrics", 2)
    assert talk.stage.turns[4].text == "At nine."


@in_virtual_time
async def test_words_of_the_model_about_it_are_never_spoken():
    persona = PersonaSetup(topics=(MONEY,), system_prompt="Be kind.")
    async with room(answers=[tokens("Sure. You should invest in gold now.")], persona=persona) as talk:
        await talk.conversation.ask(text="What now?")
        await talk.until("metrics")
    text = talk.stage.turns[2].text
    assert "invest" not in text
    assert text.startswith("Sure.")
    assert text.endswith("I say nothing of money.")
    assert not any("invest" in said for said in talk.voice.said)
    assert "money" in talk.model.asked[0][0].content


@in_virtual_time
async def test_a_topic_may_end_the_call():
    bell = Bell()
    async with room(persona=PersonaSetup(topics=(RUDE,)), desk=bell) as talk:
        await talk.conversation.ask(text="You idiot!")
        await talk.until("metrics")
    assert talk.stage.turns[2].heard_text == "Then goodbye."
    assert bell.ended == 1


@in_virtual_time
async def test_a_long_answer_ends_at_a_sentence():
    answer = " ".join(f"This is sentence number {number}." for number in range(100))
    persona = PersonaSetup(max_answer_characters=100)
    async with room(answers=[tokens(answer)], persona=persona) as talk:
        await talk.conversation.ask(text="Tell me a story")
        await talk.until("metrics")
    text = talk.stage.turns[2].text
    assert 100 <= len(text) <= 160
    assert text.endswith(".")
    assert talk.stage.turns[2].status == "done"


@in_virtual_time
async def test_who_answered_is_told():
    async with room(answers=[[*tokens("Hello."), Usage("ollama", "qwen", 12, 3)], tokens("Hello.")]) as talk:
        await talk.conversation.ask(text="Hi")
        first = await talk.until("metrics")
        await talk.conversation.ask(text="Hi")
        second = await talk.until("metrics", 2)
    assert (first["llm_provider"], first["llm_prompt_tokens"]) == ("ollama", 12)
    assert second["llm_provider"] == ScriptedModel.provider
    assert "llm_prompt_tokens" not in second


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_citations_are_taken_out_however_they_are_cut(size):
    text = "It costs 60 [1]. See [2, 3] or [12][4], a[5] and [not this] [1"
    cited = Citations()
    told = "".join(cited.feed(text[at : at + size]) for at in range(0, len(text), size)) + cited.finish()
    assert told == "It costs 60. See or, a and [not this] [1"


@pytest.mark.parametrize("size", [1, 3, 50, 1000])
def test_a_limit_is_a_limit_however_the_text_is_cut(size):
    text = "One two three. Four five six. Seven eight nine. Ten."
    limit = LengthLimit(20)
    told = "".join(limit.feed(text[at : at + size]) for at in range(0, len(text), size))
    assert limit.reached
    assert told.startswith("One two three. Four five six.")
    assert len(told) <= 31


def test_a_text_without_an_end_is_cut_at_a_word():
    limit = LengthLimit(20)
    assert limit.feed("one two three four five six seven eight") == "one two three four five six"
    assert limit.feed(" nine") == ""
