"""Answers from a persona's own text, so that a fresh installation can be talked with.

It finds; it does not make up. Where nothing fits it says so, and that no language model is set up.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import Any

from workers.adapters.endpoint import Endpoint
from workers.adapters.llm.base import Message, Piece, Tool, ToolCall
from workers.adapters.llm.scripted.passages import Knowledge, knowledge
from workers.adapters.llm.scripted.phrases import Phrases, phrases

MAX_TOPICS = 5
_PIECE = re.compile(r"\s*\S+|\s+$")
_WIDE_PIECE = 4  # characters, where words are not written apart
_PUNCTUATION = re.compile(r"[^\w\s']+")


class Scripted:
    """Holds nothing but its name; every session of a process may share it."""

    provider = "scripted"

    async def warm(self) -> None:
        """There is nothing to get ready."""

    async def aclose(self) -> None:
        """There is nothing to give back."""

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        knowledge: str = "",
        language: str = "en",
        tools: Sequence[Tool] = (),
    ) -> AsyncGenerator[Piece, None]:
        wanted = tool_for(messages, language, {tool.name for tool in tools})
        text = "" if wanted else answer(messages, knowledge, language)
        for piece in pieces(text)[:max_tokens]:
            yield piece
            await asyncio.sleep(0)
        if wanted:
            yield ToolCall("call_0", wanted, {})


def tool_for(messages: Sequence[Message], language: str, tools: Collection[str]) -> str:
    """The tool that the last words of the user ask for; empty for none.

    It ends the call when somebody says goodbye, and hands over when they ask for a person.
    """
    if not messages or messages[-1].role != "user":
        return ""
    words, cue = phrases(language), _cue(messages[-1].content)
    if "end_call" in tools and cue in words.goodbye_cues:
        return "end_call"
    asked = "handover" in tools and any(wish in cue for wish in words.human_cues)
    return "handover" if asked else ""


def answer(messages: Sequence[Message], text: str, language: str) -> str:
    """The whole answer to the last message of the user."""
    words = phrases(language)
    asked = [m.content for m in messages if m.role == "user"]
    said = [m.content for m in messages if m.role == "assistant"]
    facts = knowledge(text, words.stop_words)
    if not asked:
        return words.greeting
    question, before = asked[-1], asked[-2] if len(asked) > 1 else ""
    if small := _small_talk(_cue(question), words, facts, said):
        return small
    if found := facts.answer(_without_greeting(question, words), before):
        return found.text
    return _with_topics(words.unknown_with_topics, facts, words) or words.unknown


def pieces(text: str) -> list[str]:
    """The text in pieces like a model's tokens: words, or a few characters of a language without spaces."""
    parts = []
    for word in _PIECE.findall(text):
        if len(word) > 3 * _WIDE_PIECE and not word.isascii():
            parts += [word[i : i + _WIDE_PIECE] for i in range(0, len(word), _WIDE_PIECE)]
        else:
            parts.append(word)
    return parts


def _small_talk(cue: str, words: Phrases, facts: Knowledge, said: Sequence[str]) -> str:
    """What needs no knowledge; empty for everything else."""
    topics = _with_topics(words.help, facts, words)
    answers = (
        (words.greeting_cues | {""}, words.greeting),
        (words.thanks_cues, words.thanks),
        (words.goodbye_cues, words.goodbye),
        (words.repeat_cues, said[-1] if said else words.nothing_to_repeat),
        (words.help_cues, topics or words.help_without_topics),
        (words.identity_cues, words.identity),
        (words.yes_cues, words.acknowledged),
    )
    return next((text for cues, text in answers if cue in cues), "")


def _cue(text: str) -> str:
    cue = " ".join(_PUNCTUATION.sub(" ", text.lower().replace("’", "'")).split())
    return cue.removesuffix(" please").removeprefix("please ").strip()


def _without_greeting(question: str, words: Phrases) -> str:
    """The question behind "Hello," and its like."""
    head, comma, rest = question.partition(",")
    return rest if comma and _cue(head) in words.greeting_cues else question


def _with_topics(sentence: str, facts: Knowledge, words: Phrases) -> str:
    """The sentence with the headings of the knowledge; empty where it has none."""
    topics = [_spoken(topic) for topic in facts.topics[:MAX_TOPICS]]
    if not topics:
        return ""
    listed = words.also.join(topics[:-1]) + words.final_also + topics[-1] if topics[1:] else topics[0]
    return sentence.format(topics=listed)


def _spoken(topic: str) -> str:
    """A heading in the middle of a sentence: "Opening hours" begins small, "FAQ" and "VIP" stay."""
    first = topic.split(" ", 1)[0]
    return topic[:1].lower() + topic[1:] if first[1:].islower() or len(first) == 1 else topic


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> Scripted:  # noqa: ARG001 - as every adapter
    return Scripted(**options)
