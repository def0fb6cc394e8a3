"""The client: one streamed request per answer over connections that stay open, and its deadlines."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from workers.adapters.endpoint import Endpoint, judged
from workers.adapters.errors import AdapterError
from workers.adapters.llm.base import Message
from workers.adapters.llm.openai_compatible.answers import WHO, AnswerReader
from workers.adapters.refusals import Refusal, refusal

ATTEMPTS = 3
BACKOFF_SECONDS = 0.2
MAX_ERROR_BYTES = 16 * 1024
# Conversations pause: a connection that is still there for the next turn saves its handshakes. One that
# the server closed meanwhile is noticed before it is used.
KEEPALIVE_SECONDS = 300.0
MAX_CONNECTIONS = 64
CHARACTERS_PER_TOKEN = 16
DRAIN_SECONDS = 0.05
_NEW_LIMIT_FIELD = "max_completion_tokens"


@dataclass(frozen=True, slots=True)
class ChatDialect:
    """How one server differs from the next; times in seconds.

    `first_token` is how long the first text may take, with every attempt, `between_tokens` how long a
    pause in it. `options` are further fields of the request, such as `temperature`.
    """

    model: str = ""
    provider: str = "openai_compatible"
    first_token: float = 20.0
    between_tokens: float = 10.0
    connect: float = 3.0
    options: Mapping[str, Any] | None = None


class OpenAICompatible:
    """A language model over HTTP. Its connections belong to the event loop that first used it."""

    def __init__(self, endpoint: Endpoint, dialect: ChatDialect) -> None:
        self.provider = dialect.provider
        self._dialect = dialect
        self._limit_field = "max_tokens"
        self._client = _pool(endpoint, dialect)

    async def warm(self) -> None:
        """Open a connection; whatever the server answers, the handshakes are done."""
        with suppress(httpx.HTTPError):
            await self._client.get("models", timeout=self._dialect.connect)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        knowledge: str = "",
        language: str = "en",  # noqa: ARG002 - the system prompt tells a real model
    ) -> AsyncGenerator[str, None]:
        """Text as it is written. Asked again while nothing was delivered."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._dialect.first_token
        body = self._body(messages, knowledge)
        for attempt in range(1, ATTEMPTS + 1):
            delivered = False
            answer = self._answer(body | {self._limit_field: max_tokens}, max_tokens, deadline)
            try:
                async for text in answer:
                    delivered = True
                    yield text
                return
            except AdapterError as exc:
                if not self._learned(exc):
                    pause = _pause_or_raise(exc, attempt, deadline - loop.time(), delivered=delivered)
                    await asyncio.sleep(pause)
            finally:
                await answer.aclose()

    async def _answer(
        self, body: dict[str, Any], max_tokens: int, deadline: float
    ) -> AsyncGenerator[str, None]:
        """One attempt, held to its deadlines and to the token limit."""
        loop = asyncio.get_running_loop()
        pieces, characters = self._pieces(body), 0
        try:
            for _ in range(max_tokens):
                async with asyncio.timeout_at(deadline):
                    text = await anext(pieces, None)
                if text is None:
                    return
                yield text
                characters += len(text)
                if characters >= max_tokens * CHARACTERS_PER_TOKEN:
                    return
                deadline = loop.time() + self._dialect.between_tokens
        except TimeoutError as exc:
            raise AdapterError(
                f"The {WHO} did not answer in time.",
                provider=self.provider,
                retryable=True,
                code="provider_timeout",
            ) from exc
        finally:
            await pieces.aclose()

    async def _pieces(self, body: dict[str, Any]) -> AsyncGenerator[str, None]:
        reader = AnswerReader(self.provider)
        try:
            async with self._client.stream("POST", "chat/completions", json=body) as response:
                await self._check(response)
                incoming = response.aiter_bytes()
                async for data in incoming:
                    if text := reader.feed(data):
                        yield text
                    if reader.ended:
                        break
                if text := reader.finish():
                    yield text
                await _drain(incoming)
        except httpx.HTTPError as exc:
            raise judged(exc, self.provider, who=WHO) from exc
        if reader.finish_reason == "content_filter":
            raise AdapterError(
                f"The {WHO} refused to answer.",
                provider=self.provider,
                retryable=False,
                code="provider_refused",
            )

    async def _check(self, response: httpx.Response) -> None:
        if response.status_code != httpx.codes.OK:
            raise refusal(
                self.provider,
                response.status_code,
                await _ahead(response),
                response.headers.get("retry-after"),
                who=WHO,
            )
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("text/event-stream", ""):
            raise AdapterError(f"The {WHO} sent no stream.", provider=self.provider, retryable=False)

    def _body(self, messages: Sequence[Message], knowledge: str) -> dict[str, Any]:
        turns = _with_knowledge([{"role": m.role, "content": m.content} for m in messages], knowledge)
        return {
            "model": self._dialect.model,
            "messages": turns,
            "stream": True,
            **(self._dialect.options or {}),
        }

    def _learned(self, exc: AdapterError) -> bool:
        """Newer models take the limit under another name; one refusal is enough to know."""
        rejected = exc.code == "provider_rejected" and isinstance(exc, Refusal) and exc.param == "max_tokens"
        if not rejected or self._limit_field == _NEW_LIMIT_FIELD:
            return False
        self._limit_field = _NEW_LIMIT_FIELD
        return True


def _pool(endpoint: Endpoint, dialect: ChatDialect) -> httpx.AsyncClient:
    """Made once: a client reads the certificates of the world, which takes 40 ms."""
    headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
    read = max(dialect.first_token, dialect.between_tokens)
    return httpx.AsyncClient(
        base_url=endpoint.base_url,
        headers=headers | {"Accept": "text/event-stream"},
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_SECONDS),
        timeout=httpx.Timeout(read, connect=dialect.connect),
        verify=endpoint.base_url.startswith("https:"),
        follow_redirects=False,
        trust_env=False,
    )


def _with_knowledge(turns: list[dict[str, str]], knowledge: str) -> list[dict[str, str]]:
    """Knowledge joins the first system message: some servers refuse a second one."""
    if not knowledge.strip():
        return turns
    text = f"Answer from these facts; say so when they do not tell.\n\n{knowledge.strip()}"
    if turns and turns[0]["role"] == "system":
        first = {"role": "system", "content": f"{turns[0]['content']}\n\n{text}"}
        return [first, *turns[1:]]
    return [{"role": "system", "content": text}, *turns]


def _pause_or_raise(exc: AdapterError, attempt: int, left: float, *, delivered: bool) -> float:
    """Seconds to wait before another try; raises the error when there must be none."""
    asked = exc.retry_after if isinstance(exc, Refusal) else 0.0
    pause = max(asked, BACKOFF_SECONDS * 2.0 ** (attempt - 1))
    if delivered or not exc.retryable or attempt == ATTEMPTS or pause >= left:
        raise exc
    return pause


async def _drain(incoming: AsyncIterator[bytes]) -> None:
    """Read to the end of the body, so that the next turn can use the connection; no server is waited for."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in incoming:
                pass


async def _ahead(response: httpx.Response) -> bytes:
    body = b""
    async for data in response.aiter_bytes():
        body += data
        if len(body) >= MAX_ERROR_BYTES:
            break
    return body


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> OpenAICompatible:
    """Unknown options are a mistake and raise `TypeError`."""
    return OpenAICompatible(endpoint, ChatDialect(**options))
