"""What arrives on the wire as text of the answer, whatever way it was cut.

Reasoning is not spoken: neither the fields that carry it beside the text, nor the `<think>` block that
some servers leave inside it.
"""

import json
from typing import Any

from workers.adapters.errors import AdapterError

MAX_LINE_BYTES = 1024 * 1024
WHO = "language model"
_OPEN, _CLOSE = "<think>", "</think>"
_BUSY = ("overloaded", "rate_limit", "server_error", "timeout", "unavailable", "busy")


class AnswerReader:
    """Server-sent events of a chat completion to text.

    `finish_reason` is what the server gave (`stop`, `length`, `content_filter`...), `ended` whether it
    said that nothing more comes.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._buffer = bytearray()
        self._thoughts = ThoughtFilter()
        self.finish_reason = ""
        self.ended = False

    def feed(self, data: bytes) -> str:
        self._buffer += data
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = bytearray(rest)
        if len(rest) > MAX_LINE_BYTES:
            raise self._broken()
        return "".join(self._line(bytes(line)) for line in lines)

    def finish(self) -> str:
        """What was kept back; `AdapterError` where the answer broke off."""
        text = self._line(bytes(self._buffer)) if self._buffer else ""
        self._buffer.clear()
        if not self.ended and not self.finish_reason:
            raise AdapterError(
                f"The {WHO}'s answer broke off.",
                provider=self._provider,
                retryable=True,
                code="provider_truncated",
            )
        return text + self._thoughts.finish()

    def _line(self, line: bytes) -> str:
        if not line.startswith(b"data:"):
            # Comments keep a connection alive; a bare JSON object is an error that lost its envelope.
            return self._event(_parsed(line)) if line.lstrip().startswith(b'{"error"') else ""
        content = line[5:].strip()
        if content == b"[DONE]":
            self.ended = True
            return ""
        event = _parsed(content)
        if event is None:
            raise self._broken()
        return self._event(event)

    def _event(self, event: dict[str, Any] | None) -> str:
        if event is None:
            raise self._broken()
        if event.get("error"):
            raise self._given_up(event["error"])
        choices = event.get("choices")
        if not isinstance(choices, list):
            raise self._broken()
        return "".join(self._choice(choice) for choice in choices[:1])

    def _choice(self, choice: Any) -> str:
        if not isinstance(choice, dict):
            raise self._broken()
        self.finish_reason = str(choice.get("finish_reason") or self.finish_reason)
        delta = choice.get("delta")
        text = delta.get("content") if isinstance(delta, dict) else None
        return self._thoughts.feed(text) if isinstance(text, str) else ""

    def _given_up(self, error: Any) -> AdapterError:
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

    def _broken(self) -> AdapterError:
        return AdapterError(f"The {WHO}'s answer cannot be read.", provider=self._provider, retryable=False)


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


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(content)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
