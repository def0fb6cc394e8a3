"""Bytes of an answer to speech events, whatever way they were cut on the wire.

Three shapes are understood: raw PCM, WAV (also with the unknown lengths that streaming servers
write), and OpenAI's server-sent events with base64 sound.
"""

import base64
import binascii
import json
import struct
from collections.abc import Iterable
from typing import Any, Protocol

from workers.adapters.avatar.base import Phone
from workers.adapters.errors import AdapterError
from workers.adapters.text import clean
from workers.adapters.tts.base import PcmChunk, SpeechEvent, Timings, Word

MAX_HEADER_BYTES = 64 * 1024
MAX_EVENT_BYTES = 8 * 1024 * 1024
_UNKNOWN_LENGTHS = frozenset({0, 0x7FFFFFFF, 0xFFFFFFFF})
_STREAMED_FROM = 0x7FFF0000
_PCM_FORMATS = (1, 0xFFFE)


class Decoder(Protocol):
    def feed(self, data: bytes) -> list[SpeechEvent]: ...

    def finish(self) -> list[SpeechEvent]:
        """What was kept back; raises `AdapterError` when the answer ended too early."""
        ...


def decoder_for(content_type: str, sample_rate: int, provider: str) -> Decoder:
    """The decoder of a content type; `AdapterError` for what is no sound, such as JSON with status 200."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return EventDecoder(sample_rate, provider)
    if kind in ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"):
        return WavDecoder(provider)
    if kind in ("audio/pcm", "audio/l16", "audio/raw", "application/octet-stream", "audio/x-raw", ""):
        return PcmDecoder(sample_rate, provider)
    raise AdapterError("The speech provider sent no sound.", provider=provider, retryable=False)


class PcmDecoder:
    """Raw samples: all there is to do is to keep them whole."""

    def __init__(self, sample_rate: int, provider: str) -> None:
        self.sample_rate = sample_rate
        self._provider = provider
        self._odd = b""

    def feed(self, data: bytes) -> list[SpeechEvent]:
        joined = self._odd + data
        whole = len(joined) - len(joined) % 2
        self._odd = joined[whole:]
        return [PcmChunk(joined[:whole], self.sample_rate)] if whole else []

    def finish(self) -> list[SpeechEvent]:
        if self._odd:
            raise _truncated(self._provider)
        return []


class WavDecoder:
    """A WAV file as it arrives. Only mono and stereo s16le are taken; stereo is mixed."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._head: bytes | None = b""
        self._left: int | None = None
        self._channels = 1
        self._samples: PcmDecoder = PcmDecoder(0, provider)
        self._partial = b""

    def feed(self, data: bytes) -> list[SpeechEvent]:
        if self._head is None:
            return self._sound(data)
        self._head += data
        start = self._parse(self._head)
        if start is None:
            if len(self._head) > MAX_HEADER_BYTES:
                raise self._broken()
            return []
        rest, self._head = self._head[start:], None
        return self._sound(rest)

    def finish(self) -> list[SpeechEvent]:
        if self._head is not None or self._left:
            raise _truncated(self._provider)
        return self._samples.finish()

    def _sound(self, data: bytes) -> list[SpeechEvent]:
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        return self._samples.feed(data if self._channels == 1 else self._mixed(data))

    def _parse(self, head: bytes) -> int | None:
        """Where the samples start, or None while more of the header is missing."""
        if len(head) < 12:
            return None
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            raise self._broken()
        position = 12
        while len(head) >= position + 8:
            name, length = (
                head[position : position + 4],
                int.from_bytes(head[position + 4 : position + 8], "little"),
            )
            if name == b"data":
                self._left = None if length in _UNKNOWN_LENGTHS or length >= _STREAMED_FROM else length
                return self._begin(position + 8)
            if len(head) < position + 8 + length + length % 2:
                return None
            if name == b"fmt ":
                self._format(head[position + 8 : position + 8 + length])
            position += 8 + length + length % 2
        return None

    def _format(self, chunk: bytes) -> None:
        if len(chunk) < 16:
            raise self._broken()
        kind, channels, sample_rate, _, _, bits = struct.unpack("<HHIIHH", chunk[:16])
        if (
            kind not in _PCM_FORMATS
            or bits != 16
            or channels not in (1, 2)
            or not 8000 <= sample_rate <= 192_000
        ):
            raise self._broken()
        self._channels = channels
        self._samples = PcmDecoder(sample_rate, self._provider)

    def _begin(self, start: int) -> int:
        if not self._samples.sample_rate:
            raise self._broken()
        return start

    def _mixed(self, data: bytes) -> bytes:
        joined = self._partial + data
        whole = len(joined) - len(joined) % 4
        self._partial = joined[whole:]
        pairs = struct.iter_unpack("<hh", joined[:whole])
        return b"".join(struct.pack("<h", (left + right) // 2) for left, right in pairs)

    def _broken(self) -> AdapterError:
        return AdapterError(
            "The speech provider's WAV cannot be read.", provider=self._provider, retryable=False
        )


class EventDecoder:
    """Server-sent events: `speech.audio.delta`, `speech.audio.timings`, `speech.audio.done`."""

    def __init__(self, sample_rate: int, provider: str) -> None:
        self._provider = provider
        self._pcm = PcmDecoder(sample_rate, provider)
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
        if not self._done:
            raise _truncated(self._provider)
        return self._pcm.finish()

    def _line(self, line: bytes) -> Iterable[SpeechEvent]:
        if not line.startswith(b"data:"):
            return []
        content = line[5:].strip()
        if content == b"[DONE]":
            self._done = True
            return []
        try:
            return self._event(json.loads(content))
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as exc:
            raise self._broken() from exc

    def _event(self, event: dict[str, Any]) -> Iterable[SpeechEvent]:
        kind = event.get("type")
        if kind == "speech.audio.delta":
            return self._pcm.feed(base64.b64decode(event["audio"], validate=True))
        if kind == "speech.audio.timings":
            return [_timings(event)]
        if kind == "speech.audio.done":
            self._done = True
        if kind == "error" or "error" in event:
            raise AdapterError("The speech provider gave up.", provider=self._provider, retryable=True)
        return []

    def _broken(self) -> AdapterError:
        return AdapterError(
            "The speech provider's events cannot be read.", provider=self._provider, retryable=False
        )


def _timings(event: dict[str, Any]) -> Timings:
    phones = (Phone(str(p["symbol"]), int(p["start_ms"]), int(p["end_ms"])) for p in event.get("phones", ()))
    words = (
        Word(clean(str(w["text"])), int(w["start_ms"]), int(w["end_ms"])) for w in event.get("words", ())
    )
    return Timings(tuple(phones), tuple(words))


def _truncated(provider: str) -> AdapterError:
    return AdapterError(
        "The speech provider's answer broke off.",
        provider=provider,
        retryable=True,
        code="provider_truncated",
    )
