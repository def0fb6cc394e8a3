"""What every language model looks like from outside."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One contribution to the conversation so far."""

    role: Role
    content: str


class LanguageModel(Protocol):
    """Continues a conversation.

    `stream` yields text as it is written, in pieces of any size; joined, they are the answer. It
    raises `AdapterError`. `knowledge` is the persona's text to answer from: the model puts it where it
    belongs, so it does not stand in `messages`. `max_tokens` is a limit that holds even where a
    server ignores it; an answer that meets it ends there. Closing the generator closes the connection
    at once. Nothing is asked again once text was delivered: it would be said twice.
    """

    provider: str

    def stream(
        self, messages: Sequence[Message], *, max_tokens: int, knowledge: str = "", language: str = "en"
    ) -> AsyncGenerator[str, None]: ...

    async def warm(self) -> None:
        """Get ready to answer, so that the first question need not wait for connections. Never raises."""
        ...

    async def aclose(self) -> None:
        """Give the connections back. The model cannot be used afterwards."""
        ...
