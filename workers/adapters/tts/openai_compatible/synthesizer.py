"""The client: one request, its deadlines, and when to try again."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import httpx

from workers.adapters.endpoint import Deadlines, Endpoint, async_client, client, judged
from workers.adapters.errors import AdapterError
from workers.adapters.refusals import Refusal, refusal
from workers.adapters.tts.base import SpeechEvent, SpeechRequest
from workers.adapters.tts.openai_compatible.decoder import Decoder, decoder_for

ATTEMPTS = 3
BACKOFF_SECONDS = 0.25
MAX_ERROR_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class SpeechDialect:
    """How one provider differs from the next.

    `events` asks for server-sent events, which our sidecar fills with timings. `sample_rate` is what
    raw PCM has where no header says so: 24 kHz at OpenAI.
    """

    provider: str = "openai_compatible"
    model: str = "tts-1"
    response_format: str = "pcm"
    sample_rate: int = 24_000
    events: bool = False
    priority: bool = False
    deadlines: Deadlines = field(default_factory=Deadlines)


class OpenAICompatible:
    """A synthesizer over HTTP; holds no state, so threads may share it."""

    def __init__(self, endpoint: Endpoint, dialect: SpeechDialect) -> None:
        self.provider = dialect.provider
        self._endpoint = endpoint
        self._dialect = dialect

    def synthesize(self, request: SpeechRequest) -> Generator[SpeechEvent, None, None]:
        """Events as they arrive, for code that may block. Tried again while nothing was delivered."""
        for attempt in range(1, ATTEMPTS + 1):
            delivered = False
            try:
                with closing(self._once(request)) as events:
                    for event in events:
                        delivered = True
                        yield event
                return
            except AdapterError as exc:
                time.sleep(_pause_or_raise(exc, attempt, delivered=delivered))

    async def stream(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """As `synthesize`, for code on an event loop. Cancelling it closes the connection."""
        for attempt in range(1, ATTEMPTS + 1):
            delivered = False
            events = self._once_async(request)
            try:
                async for event in events:
                    delivered = True
                    yield event
                return
            except AdapterError as exc:
                await asyncio.sleep(_pause_or_raise(exc, attempt, delivered=delivered))
            finally:
                await events.aclose()

    def _once(self, request: SpeechRequest) -> Generator[SpeechEvent, None, None]:
        try:
            pool = client(self._endpoint.base_url)
            with pool.stream("POST", "audio/speech", **self._call(request)) as response:
                if response.status_code != httpx.codes.OK:
                    raise self._refusal(response, _head(response))
                decoder = self._decoder(response)
                for data in response.iter_bytes():
                    yield from decoder.feed(data)
                yield from decoder.finish()
        except httpx.HTTPError as exc:
            raise judged(exc, self.provider) from exc

    async def _once_async(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        try:
            pool = async_client(self._endpoint.base_url, asyncio.get_running_loop())
            async with pool.stream("POST", "audio/speech", **self._call(request)) as response:
                if response.status_code != httpx.codes.OK:
                    raise self._refusal(response, await _ahead(response))
                decoder = self._decoder(response)
                async for data in response.aiter_bytes():
                    for event in decoder.feed(data):
                        yield event
                for event in decoder.finish():
                    yield event
        except httpx.HTTPError as exc:
            raise judged(exc, self.provider) from exc

    def _call(self, request: SpeechRequest) -> dict[str, Any]:
        dialect, deadlines = self._dialect, self._dialect.deadlines
        body: dict[str, Any] = {
            "model": dialect.model,
            "input": request.text,
            "voice": request.voice,
            "response_format": dialect.response_format,
        }
        if request.speed != 1.0:
            body["speed"] = request.speed
        if dialect.events:
            body["stream_format"] = "sse"
        if dialect.priority:
            body["priority"] = request.priority
        timeout = httpx.Timeout(deadlines.read, connect=deadlines.connect, pool=deadlines.pool)
        return {"json": body, "headers": self._endpoint.headers, "timeout": timeout}

    def _decoder(self, response: httpx.Response) -> Decoder:
        kind = response.headers.get("content-type", "")
        return decoder_for(kind, _sample_rate(response, self._dialect.sample_rate), self.provider)

    def _refusal(self, response: httpx.Response, body: bytes) -> Refusal:
        return refusal(self.provider, response.status_code, body, response.headers.get("retry-after"))


def _pause_or_raise(exc: AdapterError, attempt: int, *, delivered: bool) -> float:
    """Seconds to wait before another try; raises the error when there must be none."""
    if delivered or not exc.retryable or attempt == ATTEMPTS:
        raise exc
    asked = exc.retry_after if isinstance(exc, Refusal) else 0.0
    return max(asked, BACKOFF_SECONDS * 2.0 ** (attempt - 1))


def _sample_rate(response: httpx.Response, default: int) -> int:
    """From the headers that speech servers use, else from `rate=` of the content type, else the default."""
    kind = response.headers.get("content-type", "")
    given = [response.headers.get(name, "") for name in ("x-sample-rate", "x-audio-sample-rate")]
    given += [part.strip()[5:] for part in kind.split(";") if part.strip().lower().startswith("rate=")]
    rates = [int(text) for text in given if text.isdecimal()]
    return next((rate for rate in rates if 8000 <= rate <= 192_000), default)


def _head(response: httpx.Response) -> bytes:
    body = b""
    for data in response.iter_bytes():
        body += data
        if len(body) >= MAX_ERROR_BYTES:
            break
    return body


async def _ahead(response: httpx.Response) -> bytes:
    body = b""
    async for data in response.aiter_bytes():
        body += data
        if len(body) >= MAX_ERROR_BYTES:
            break
    return body


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> OpenAICompatible:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return OpenAICompatible(endpoint, SpeechDialect(**options))
