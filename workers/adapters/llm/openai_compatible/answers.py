"""What a server streams as text of the answer and calls of tools, whatever way it was cut.

Reasoning is not spoken: neither the fields that carry it beside the text, nor the `<think>` block that
some servers leave inside it.
"""

from typing import Any

from workers.adapters.errors import AdapterError
from workers.adapters.llm.base import ToolCall, Usage
from workers.adapters.text import clean_all, parsed

WHO = "language model"
MAX_CALLS = 8
MAX_ARGUMENT_CHARACTERS = 20_000
_OPEN, _CLOSE = "<think>", "</think>"
_BUSY = ("overloaded", "rate_limit", "server_error", "timeout", "unavailable", "busy")


class AnswerReader:
    """The chunks of a chat completion to text, calls and cost.

    `finish_reason` is what the server gave (`stop`, `length`, `tool_calls`, `content_filter`...). The
    chunks are as they came: any field may be missing or of another type.
    """

    def __init__(self, provider: str, model: str = "") -> None:
        self._provider, self._model = provider, model
        self._thoughts = ThoughtFilter()
        self._calls: list[_Call] = []
        self.finish_reason = ""
        self.usage: Usage | None = None

    def feed(self, chunk: Any) -> str:
        """Return the text of a chunk; empty where it brings none."""
        choices = _of(chunk, "choices")
        if not isinstance(choices, list):
            raise broken(self._provider)
        if (usage := _of(chunk, "usage")) is not None:
            model = _of(chunk, "model") or self._model
            self.usage = _usage(usage, self._provider, model)
        return "".join(self._choice(choice) for choice in choices[:1])

    def finish(self, *, ended: bool) -> str:
        """What was kept back; `AdapterError` where the answer broke off.

        `ended` says that the server told so, with or without a reason.
        """
        if not ended and not self.finish_reason:
            raise AdapterError(
                f"The {WHO}'s answer broke off.",
                provider=self._provider,
                retryable=True,
                code="provider_truncated",
            )
        if self.finish_reason == "content_filter":
            raise AdapterError(
                f"The {WHO} refused to answer.",
                provider=self._provider,
                retryable=False,
                code="provider_refused",
            )
        return self._thoughts.finish()

    def calls(self) -> list[ToolCall]:
        """The calls that the answer asks for, each whole."""
        return [call.whole(number) for number, call in enumerate(self._calls) if call.name]

    def _choice(self, choice: Any) -> str:
        self.finish_reason = str(_of(choice, "finish_reason") or self.finish_reason)
        delta = _of(choice, "delta")
        for part in _of(delta, "tool_calls") or ():
            self._call(part)
        text = _of(delta, "content")
        return self._thoughts.feed(text) if isinstance(text, str) else ""

    def _call(self, part: Any) -> None:
        """A part of a call: its beginning names the tool, what follows are pieces of its arguments."""
        call_id = str(_of(part, "id") or "")
        index = _of(part, "index")
        function = _of(part, "function")
        name = str(_of(function, "name") or "")
        call = next((each for each in reversed(self._calls) if each.index == index), None)
        # Some servers number every call 0, or none at all: a name under another id begins a new one.
        if call is None or (name and call_id and call.id and call_id != call.id):
            if len(self._calls) == MAX_CALLS:
                raise broken(self._provider)
            call = _Call(index)
            self._calls.append(call)
        call.add(call_id, name, _of(function, "arguments"))

    def given_up(self, error: Any) -> AdapterError:
        """An error in the middle of a stream; its words may repeat the conversation and stay out."""
        kind = str(
            (error.get("code") or error.get("type") or "") if isinstance(error, dict) else error
        ).lower()
        status = int(kind) if kind.isdecimal() else 0
        busy = status in (408, 429) or status >= 500 or any(word in kind for word in _BUSY)
        return AdapterError(
            f"The {WHO} gave up.",
            provider=self._provider,
            retryable=busy or not kind,
            code="provider_busy" if busy else "provider_error",
        )


def _of(told: Any, name: str) -> Any:
    """A field of what should be an object."""
    return told.get(name) if isinstance(told, dict) else None


def broken(provider: str) -> AdapterError:
    return AdapterError(f"The {WHO}'s answer cannot be read.", provider=provider, retryable=False)


class _Call:
    """A call as far as it is known. `index` is the server's number of it."""

    def __init__(self, index: Any) -> None:
        self.index = index
        self.id = self.name = ""
        self._arguments: list[str] = []
        self._given: dict[str, Any] | None = None
        self._size = 0

    def add(self, call_id: str, name: str, arguments: Any) -> None:
        self.id, self.name = self.id or call_id, self.name or name
        if isinstance(arguments, dict):  # some servers write an object where text belongs
            self._given = arguments
        elif isinstance(arguments, str) and self._size <= MAX_ARGUMENT_CHARACTERS:
            self._arguments.append(arguments)
            self._size += len(arguments)

    def whole(self, number: int) -> ToolCall:
        told = _cleaned(self._given) if self._given is not None else _object("".join(self._arguments))
        broken_off = told is None or self._size > MAX_ARGUMENT_CHARACTERS
        return ToolCall(self.id or f"call_{number}", self.name, told or {}, broken=broken_off)


def _object(text: str) -> dict[str, Any] | None:
    """Arguments as they were written; none at all are an empty object."""
    try:
        told = parsed(text) if text.strip() else {}
    except ValueError:
        return None
    return _cleaned(told)


def _cleaned(told: Any) -> dict[str, Any] | None:
    """Arguments that can be sent on and stored; None for what is no object, or nested without an end."""
    try:
        return clean_all(told) if isinstance(told, dict) else None
    except RecursionError:
        return None


def _usage(told: Any, provider: str, model: Any) -> Usage:
    counts = (_of(told, "prompt_tokens"), _of(told, "completion_tokens"))
    prompt, completion = (count if isinstance(count, int) and count > 0 else 0 for count in counts)
    return Usage(provider, str(model or "")[:120], prompt, completion)


class ThoughtFilter:
    """Leaves out a `<think>...</think>` block at the beginning of an answer, also one cut into pieces."""

    def __init__(self) -> None:
        self._kept = ""
        self._state = "begin"

    def feed(self, text: str) -> str:
        if self._state == "said":
            return text
        self._kept += text
        head = self._kept.lstrip()
        if self._state == "begin" and head.startswith(_OPEN):
            self._state = "thinking"
        elif self._state == "begin" and not _OPEN.startswith(head):
            return self._release(self._kept)
        if self._state == "thinking" and _CLOSE in self._kept:
            self._kept, self._state = self._kept.partition(_CLOSE)[2], "trim"
        if self._state == "trim" and self._kept.strip():
            return self._release(self._kept.lstrip())
        return ""

    def finish(self) -> str:
        """A beginning that looked like a thought and was none."""
        return self._release(self._kept) if self._state == "begin" else ""

    def _release(self, text: str) -> str:
        self._kept, self._state = "", "said"
        return text
