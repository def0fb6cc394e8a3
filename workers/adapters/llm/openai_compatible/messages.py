"""A conversation as the body of a request, in the form that a server takes."""

import json
from collections.abc import Sequence
from typing import Any

from workers.adapters.llm.base import Message, Tool

Turn = dict[str, Any]


def turns(messages: Sequence[Message], knowledge: str, *, one_system: bool, prefill: bool) -> list[Turn]:
    """The messages with the knowledge in their first system message.

    `one_system` joins all system messages: some servers refuse a second one. Without `prefill`, words
    of the assistant at the very end are left out: some servers take them for a beginning to go on
    with, others refuse them.
    """
    made = _with_knowledge([_turn(message) for message in messages], knowledge)
    if one_system:
        made = _joined(made)
    while not prefill and made and made[-1]["role"] == "assistant":
        made.pop()
    return made


def functions(tools: Sequence[Tool]) -> list[Turn]:
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
            },
        }
        for tool in tools
    ]


def _turn(message: Message) -> Turn:
    turn: Turn = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["content"] = message.content or None
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _with_knowledge(made: list[Turn], knowledge: str) -> list[Turn]:
    if not knowledge.strip():
        return made
    text = f"Answer from these facts; say so when they do not tell.\n\n{knowledge.strip()}"
    if made and made[0]["role"] == "system":
        return [{"role": "system", "content": f"{made[0]['content']}\n\n{text}"}, *made[1:]]
    return [{"role": "system", "content": text}, *made]


def _joined(made: list[Turn]) -> list[Turn]:
    told = [turn["content"] for turn in made if turn["role"] == "system"]
    rest = [turn for turn in made if turn["role"] != "system"]
    return [{"role": "system", "content": "\n\n".join(told)}, *rest] if told else rest
