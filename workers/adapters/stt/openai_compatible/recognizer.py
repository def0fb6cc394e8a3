"""The client: one upload, its deadlines, and how answers of many shapes are read."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from workers.adapters.endpoint import Deadlines, Endpoint, async_client, client, judged
from workers.adapters.errors import AdapterError
from workers.adapters.refusals import Refusal, refusal
from workers.adapters.stt.base import Segment, Transcript
from workers.adapters.text import clean

ATTEMPTS = 3
BACKOFF_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class HearingDialect:
    """How one provider differs from the next; `response_format` that gives segments, where it can."""

    provider: str = "openai_compatible"
    model: str = "whisper-1"
    response_format: str = "verbose_json"
    deadlines: Deadlines = field(default_factory=lambda: Deadlines(read=180.0))


class OpenAICompatible:
    """A recognizer over HTTP; holds no state, so threads may share it."""

    def __init__(self, endpoint: Endpoint, dialect: HearingDialect) -> None:
        self.provider = dialect.provider
        self._endpoint = endpoint
        self._dialect = dialect

    def recognize(self, audio: bytes, *, language: str = "") -> Transcript:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                pool = client(self._endpoint.base_url)
                return self._read(pool.post("audio/transcriptions", **self._call(audio, language)))
            except httpx.HTTPError as exc:
                pause = _pause_or_raise(judged(exc, self.provider), attempt)
            except AdapterError as exc:
                pause = _pause_or_raise(exc, attempt)
            time.sleep(pause)
        raise AssertionError  # the last attempt returns or raises

    async def listen(self, audio: bytes, *, language: str = "") -> Transcript:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                pool = async_client(self._endpoint.base_url, asyncio.get_running_loop())
                return self._read(await pool.post("audio/transcriptions", **self._call(audio, language)))
            except httpx.HTTPError as exc:
                pause = _pause_or_raise(judged(exc, self.provider), attempt)
            except AdapterError as exc:
                pause = _pause_or_raise(exc, attempt)
            await asyncio.sleep(pause)
        raise AssertionError  # the last attempt returns or raises

    def _call(self, audio: bytes, language: str) -> dict[str, Any]:
        deadlines = self._dialect.deadlines
        fields = {"model": self._dialect.model, "response_format": self._dialect.response_format}
        if language:
            fields["language"] = language.partition("-")[0].lower()
        return {
            "data": fields,
            "files": {"file": ("speech.wav", audio, "audio/wav")},
            "headers": self._endpoint.headers,
            "timeout": httpx.Timeout(deadlines.read, connect=deadlines.connect, pool=deadlines.pool),
        }

    def _read(self, response: httpx.Response) -> Transcript:
        if response.status_code != httpx.codes.OK:
            raise refusal(
                self.provider, response.status_code, response.content, response.headers.get("retry-after")
            )
        if response.headers.get("content-type", "").startswith("text/plain"):
            return Transcript(clean(response.text).strip())
        try:
            return _transcript(json.loads(response.content))
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as exc:
            raise AdapterError(
                "The transcript cannot be read.", provider=self.provider, retryable=False
            ) from exc


def _transcript(body: Any) -> Transcript:
    """Text from the places where providers put it; segments where there are any."""
    if not isinstance(body, dict):
        raise TypeError
    segments = tuple(_segment(part) for part in body.get("segments") or ())
    text = body.get("text") or body.get("sentence")
    if text is None and body.get("choices"):
        text = body["choices"][0]["message"]["content"]
    if text is None:
        if "text" not in body and "segments" not in body:
            raise KeyError
        text = " ".join(segment.text for segment in segments)
    return Transcript(clean(str(text)).strip(), segments)


def _segment(part: Mapping[str, Any]) -> Segment:
    start_ms, end_ms = (round(float(part[name]) * 1000) for name in ("start", "end"))
    return Segment(start_ms, end_ms, clean(str(part["text"])).strip())


def _pause_or_raise(exc: AdapterError, attempt: int) -> float:
    if not exc.retryable or attempt == ATTEMPTS:
        raise exc
    asked = exc.retry_after if isinstance(exc, Refusal) else 0.0
    return max(asked, BACKOFF_SECONDS * 2.0 ** (attempt - 1))


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> OpenAICompatible:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return OpenAICompatible(endpoint, HearingDialect(**options))
