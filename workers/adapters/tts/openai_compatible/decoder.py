"""OpenAI's server-sent events of speech, with the timings that our sidecar adds."""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

from workers.adapters.answers import truncated
from workers.adapters.avatar.base import Phone
from workers.adapters.errors import AdapterError
from workers.adapters.text import clean, parsed
from workers.adapters.tts.base import EvenPcm, SpeechEvent, Timings, Word

MAX_EVENT_BYTES = 8 * 1024 * 1024


class EventDecoder:
    """Server-sent events: `speech.audio.delta`, `speech.audio.timings`, `speech.audio.done`.

    `offset_ms` is added to all times: the length of what was delivered before this answer.
    """

    def __init__(self, sample_rate: int, provider: str, offset_ms: int = 0) -> None:
        self._provider = provider
        self._offset_ms = offset_ms
        self._pcm = EvenPcm(sample_rate)
        self._buffer = bytearray()
        self._done = False

    def feed(self, data: bytes) -> list[SpeechEvent]:
        self._buffer += data
        lines = self._buffer.split(b"\n")
        self._buffer = lines.pop()
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise self._broken()
        return [event for line in lines for event in self._line(bytes(line))]

    def finish(self) -> list[SpeechEvent]:
        if not self._done or self._pcm.odd:
            raise truncated(self._provider)
        return []

    def _line(self, line: bytes) -> Sequence[SpeechEvent]:
        if not line.startswith(b"data:"):
            return []
        content = line[5:].strip()
        if content == b"[DONE]":
            self._done = True
            return []
        try:
            return self._event(parsed(content))
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as exc:
            raise self._broken() from exc

    def _event(self, event: dict[str, Any]) -> Sequence[SpeechEvent]:
        kind = event.get("type")
        if kind == "speech.audio.delta":
            return self._pcm.feed(b64decode(event["audio"], validate=True))
        if kind == "speech.audio.timings":
            return [_timings(event, self._offset_ms)]
        if kind == "speech.audio.done":
            self._done = True
        if kind == "error" or "error" in event:
            raise AdapterError("The speech provider gave up.", provider=self._provider, retryable=True)
        return []

    def _broken(self) -> AdapterError:
        return AdapterError(
            "The speech provider's events cannot be read.", provider=self._provider, retryable=False
        )


def _timings(event: dict[str, Any], offset_ms: int) -> Timings:
    return Timings(
        tuple(
            Phone(str(p["symbol"]), int(p["start_ms"]) + offset_ms, int(p["end_ms"]) + offset_ms)
            for p in event.get("phones", ())
        ),
        tuple(
            Word(clean(str(w["text"])), int(w["start_ms"]) + offset_ms, int(w["end_ms"]) + offset_ms)
            for w in event.get("words", ())
        ),
    )
