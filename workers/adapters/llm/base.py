"""What every language model looks like from outside."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Tool:
    """Something the model may ask for. `parameters` is a JSON schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool. `broken` says that its arguments were no JSON object."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost. `provider` is the id of the file in `configs/providers` that served it."""

    provider: str
    model: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Message:
    """One contribution to the conversation so far.

    `tool_calls` are what an assistant's contribution asked for; each is answered by a message of the
    role `tool` that carries the call's id.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


Piece = str | ToolCall | Usage


class LanguageModel(Protocol):
    """Continues a conversation.

    `stream` yields text as it is written, in pieces of any size; joined, they are the answer. A
    `ToolCall` is whole when it comes; calls come after the text. At most one `Usage` comes, last; it
    also tells who served, so it comes with zeros where a server does not count. It raises `AdapterError`.
    `knowledge` is the persona's text to answer from: the model puts it where it belongs, so it does not
    stand in `messages`. `max_tokens` is a limit that holds even where a server ignores it; an answer that
    meets it ends there. Closing the generator closes the connection at once. Nothing is asked again once
    anything was delivered: it would be said twice.
    """

    provider: str

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        knowledge: str = "",
        language: str = "en",
        tools: Sequence[Tool] = (),
    ) -> AsyncGenerator[Piece, None]: ...

    async def warm(self) -> None:
        """Get ready to answer, so that the first question need not wait for connections. Never raises."""
        ...

    async def aclose(self) -> None:
        """Give the connections back. The model cannot be used afterwards."""
        ...
