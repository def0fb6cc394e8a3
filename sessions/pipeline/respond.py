"""The answer to what the customer said, piece by piece, with a deadline on every wait.

The language model is asked with what was looked up for it. What it wants done is done, and it is asked
again with what came of it. Topics that are left alone never reach it, and none of its words about them
are let through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sessions.pipeline import topics as safety
from sessions.pipeline.faults import Fault, next_within
from sessions.pipeline.filters import Citations, LengthLimit
from sessions.pipeline.tools import Done, Toolbox, toolbox
from workers.adapters.errors import AdapterError
from workers.adapters.llm.base import Message, Piece, ToolCall, Usage
from workers.adapters.text import Cleaner

if TYPE_CHECKING:
    from sessions.pipeline.account import Account
    from sessions.pipeline.ports import Passage, Setup
    from sessions.pipeline.topics import Topic

MAX_ROUNDS = 3
"""How often a model may ask for tools in one answer."""
FILLER_SECONDS = 0.9
LOOK_UP_SECONDS = 0.15

_SILENT = ("language_model_timeout", "The language model did not answer in time.")
_STALLED = ("language_model_timeout", "The language model stopped in the middle of its answer.")
_EMPTY = ("language_model_empty", "The language model had no answer.")
_PASSAGES = (
    "Passages of documents, the likeliest first. Say what they tell in your own words; do not read their "
    "numbers or names out unless you are asked where something stands."
)


async def answer(
    setup: Setup, messages: Sequence[Message], question: str, account: Account
) -> AsyncGenerator[str, None]:
    """Text as it is written. Raises `Fault`; what came before it stands.

    Closing it closes the connection to the model and gives up the tools that run.
    """
    answering = Answering(setup, account)
    async with aclosing(answering.answer(messages, question)) as texts:
        async for text in texts:
            yield text


@dataclass(slots=True)
class Answering:
    """One answer in the making. `account` is told who served, what it cost and what was done."""

    setup: Setup
    account: Account
    said: bool = False
    _topics: safety.Topics = field(init=False)
    _tools: Toolbox | None = field(init=False)
    _limit: LengthLimit = field(init=False)
    _calls: list[ToolCall] = field(default_factory=list)
    _until: float = 0.0
    _over: bool = False
    _gap: bool = False
    _last: str = ""

    def __post_init__(self) -> None:
        persona = self.setup.persona
        self._topics = safety.topics_of(persona.topics)
        self._tools = toolbox(persona.tools, self.setup.desk, persona.language)
        self._limit = LengthLimit(persona.max_answer_characters)

    async def answer(self, messages: Sequence[Message], question: str) -> AsyncGenerator[str, None]:
        self._until = asyncio.get_running_loop().time() + self.setup.limits.reply_seconds
        if (topic := self._topics.find(question)) is not None:
            yield self._refuse(topic)
            return
        knowledge = await self._looked_up(question)
        told = self._with_topics(messages)
        for round_ in range(MAX_ROUNDS + 1):
            text = ""
            async with aclosing(self._written(told, knowledge, last=round_ == MAX_ROUNDS)) as written:
                async for piece in written:
                    text += piece
                    yield piece
            calls, self._calls = self._calls, []
            # A call by a model that was offered nothing has no answer, and without one it cannot be repeated.
            if not calls or self._tools is None or self._limit.reached:
                break
            told = [*told, Message("assistant", text, tuple(calls))]
            async for piece in self._performed(calls, told):
                yield piece
            if self._over:
                break
            self._gap = True
        if not self.said:
            raise Fault("language_model", *_EMPTY)

    # --- Before the model is asked --------------------------------------------------------------

    async def _looked_up(self, question: str) -> str:
        """What is known to the persona, with the passages that may answer the question."""
        known = self.setup.persona.knowledge
        if self.setup.retriever is None:
            return known
        measures, now = self.account.measures, asyncio.get_running_loop().time
        begun = now()
        found = await self.setup.retriever.passages(question, deadline_seconds=LOOK_UP_SECONDS)
        measures.retrieval_ms = (now() - begun) * 1000
        measures.waterfall.add("retrieval", begun, now())
        if not found:
            return known
        self.account.sources = sources(found)
        return "\n\n".join(part for part in (known.strip(), _PASSAGES, *_numbered(found)) if part)

    def _with_topics(self, messages: Sequence[Message]) -> list[Message]:
        line = safety.told_to_model(self._topics, self.setup.persona.language)
        if not line:
            return list(messages)
        if messages and messages[0].role == "system":
            first = replace(messages[0], content=f"{messages[0].content}\n\n{line}")
            return [first, *messages[1:]]
        return [Message("system", line), *messages]

    # --- What it writes -------------------------------------------------------------------------

    async def _written(
        self, messages: Sequence[Message], knowledge: str, *, last: bool
    ) -> AsyncGenerator[str, None]:
        """One round of the model: its text, cleaned, guarded and held to its length; its calls are kept."""
        guard, cited, cleaner = self._topics.guard(), Citations(), Cleaner()
        async with aclosing(self._streamed(messages, knowledge, last=last)) as streamed:
            async for text in streamed:
                text = cleaner.feed(text)  # noqa: PLW2901 - each filter takes what the one before gave
                text = cited.feed(text) if self.account.sources else text  # noqa: PLW2901
                kept = self._limit.feed(guard.feed(text))
                if kept:
                    yield self._noted(kept)
                if guard.met is not None or self._limit.reached:
                    break
        rest = "" if self._limit.reached else guard.feed(cited.finish()) + guard.finish()
        if kept := self._limit.feed(rest):
            yield self._noted(kept)
        if guard.met is not None:
            self._calls.clear()
            yield self._refuse(guard.met)

    async def _streamed(
        self, messages: Sequence[Message], knowledge: str, *, last: bool
    ) -> AsyncGenerator[str, None]:
        persona, now = self.setup.persona, asyncio.get_running_loop().time
        tools = self._tools.tools if self._tools is not None and not last else ()
        stream = self.setup.language_model.stream(
            messages,
            max_tokens=persona.max_tokens,
            knowledge=knowledge,
            language=persona.language,
            tools=tools,
        )
        measures = self.account.measures
        measures.llm_provider = self.setup.language_model.provider
        measures.waterfall.begin("llm")
        begun = False
        try:
            async with aclosing(stream):
                while now() < self._until:  # a model that goes on for minutes has said enough
                    piece = await self._next(stream, begun=begun)
                    if piece is None:
                        return
                    begun = begun or not isinstance(piece, Usage)
                    if isinstance(piece, str):
                        measures.mark("first_token")
                        measures.waterfall.first("llm")
                        yield piece
                    elif isinstance(piece, ToolCall):
                        self._calls.append(piece)
                    else:
                        measures.cost(piece)
        finally:
            measures.waterfall.end("llm", provider=measures.llm_provider)

    async def _next(self, stream: AsyncGenerator[Piece, None], *, begun: bool) -> Piece | None:
        """The next piece; None when the answer is complete."""
        limits = self.setup.limits
        seconds = limits.next_token_seconds if begun else limits.first_token_seconds
        try:
            return await next_within(
                stream, seconds, Fault("language_model", *(_STALLED if begun else _SILENT))
            )
        except StopAsyncIteration:
            return None
        except AdapterError as exc:
            raise Fault("language_model", _code(exc), str(exc)) from exc

    def _noted(self, text: str) -> str:
        """Text that is said; what was written after a tool begins apart from what was before."""
        if self._gap and self.said and not self._last.isspace() and not text[:1].isspace():
            text = self.account.space + text
        self._gap = self._gap and not text.strip()
        self.said, self._last = self.said or bool(text.strip()), text[-1:]
        return text

    def _refuse(self, topic: Topic) -> str:
        """What is said in place of an answer; the topic may end the session with it."""
        self.account.measures.topic = topic.name
        self.account.ends = self.account.ends or topic.action == "end"
        text = safety.refusal(topic, self.setup.persona.language)
        return self._noted(f"… {text}" if self.said else text)

    # --- What it wants done ---------------------------------------------------------------------

    async def _performed(self, calls: Iterable[ToolCall], told: list[Message]) -> AsyncGenerator[str, None]:
        """Do what was asked for; what came of it joins `told`. Text is what is said of it."""
        for call in calls:
            async with aclosing(self._run(call)) as run:
                async for piece in run:
                    if isinstance(piece, str):
                        yield piece
                        continue
                    told.append(Message("tool", piece.told or "Done.", tool_call_id=call.id))
                    if piece.over and piece.say and not self.said:
                        yield self._noted(piece.say)

    async def _run(self, call: ToolCall) -> AsyncGenerator[str | Done, None]:
        """One call: a few words if it takes long and nothing was said, then what came of it."""
        tools = self._tools
        if tools is None:
            return
        now = asyncio.get_running_loop().time
        begun, running = now(), asyncio.create_task(tools.run(call))
        try:
            if not self.said:
                await asyncio.wait({running}, timeout=FILLER_SECONDS)
                if not running.done():
                    yield tools.filler(call) + self.account.space
            done = await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        self.account.measures.did(call.name, done.outcome, (now() - begun) * 1000)
        self.account.ends = self.account.ends or done.ends
        self._over = self._over or done.over
        if done.handed_over is not None:
            self.account.handed_over(done.handed_over)
        yield done


def sources(passages: Sequence[Passage]) -> list[dict[str, Any]]:
    """Passages as a turn keeps them."""
    return [
        {"document": one.document_id, "name": one.name, "page": one.page, "passage": one.index}
        for one in passages
    ]


def _numbered(passages: Sequence[Passage]) -> list[str]:
    """Passages as the model is told them."""
    told = []
    for number, one in enumerate(passages, 1):
        page = f", page {one.page}" if one.page is not None else ""
        told.append(f"[{number}] {one.name}{page}:\n{one.text.strip()}")
    return told


def _code(exc: AdapterError) -> str:
    return f"language_model_{exc.code.removeprefix('provider_')}"
