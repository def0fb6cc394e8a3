"""The client: one streamed request per answer over connections that stay open, and its deadlines.

The official SDK writes the request and reads the stream. Connections, deadlines and what is tried
again are ours. Importing it takes a second: `sessions.pipeline.language` does so while a process starts.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import httpx
import openai

from workers.adapters.endpoint import Endpoint, judged
from workers.adapters.errors import AdapterError
from workers.adapters.llm.base import Message, Piece, Tool, Usage
from workers.adapters.llm.openai_compatible.answers import WHO, AnswerReader, broken
from workers.adapters.llm.openai_compatible.messages import functions, turns
from workers.adapters.llm.openai_compatible.wire import Watched, watch
from workers.adapters.refusals import Refusal, refusal

ATTEMPTS = 3
BACKOFF_SECONDS = 0.2
# Conversations pause: a connection that is still there for the next turn saves its handshakes. One that
# the server closed meanwhile is noticed before it is used.
KEEPALIVE_SECONDS = 300.0
MAX_CONNECTIONS = 64
CHARACTERS_PER_TOKEN = 16
LAST_SECONDS = 0.3
_NEW_LIMIT_FIELD = "max_completion_tokens"
_EXTRAS = frozenset({"tools", "stream_options"})


@dataclass(frozen=True, slots=True)
class ChatDialect:
    """How one server differs from the next; times in seconds.

    `first_token` is how long the first text may take, with every attempt, `between_tokens` how long a
    pause in it. `options` are further fields of the request, such as `temperature`. `limit_field` is
    where it takes the longest answer; `usage` says that it may be asked to count tokens, `tools` that it
    can ask for tools. `one_system` and `prefill`: see `messages.turns`.
    """

    model: str = ""
    provider: str = "openai_compatible"
    first_token: float = 20.0
    between_tokens: float = 10.0
    connect: float = 3.0
    options: Mapping[str, Any] | None = None
    limit_field: str = "max_tokens"
    usage: bool = False
    tools: bool = True
    one_system: bool = True
    prefill: bool = False


class OpenAICompatible:
    """A language model over HTTP. Its connections belong to the event loop that first used it."""

    def __init__(self, endpoint: Endpoint, dialect: ChatDialect) -> None:
        self.provider = dialect.provider
        self._dialect = dialect
        self._limit_field = dialect.limit_field
        self._counts, self._tools = dialect.usage, dialect.tools
        self._proven: set[str] = set()  # what the server took already
        self._pool = _pool(endpoint, dialect)
        self._sdk = _sdk(endpoint, self._pool)
        # Without a key the SDK wants to be told for each request that none is sent.
        self._headers: Any = {} if endpoint.api_key else {"Authorization": openai.Omit()}

    async def warm(self) -> None:
        """Open a connection; whatever the server answers, the handshakes are done.

        Through the SDK, which looks at the machine before its first request.
        """
        with suppress(httpx.HTTPError, openai.OpenAIError, ValueError):
            options: Any = {"timeout": self._dialect.connect, "headers": self._headers}
            await self._sdk.get("/models", cast_to=object, options=options)

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        knowledge: str = "",
        language: str = "en",  # noqa: ARG002 - the system prompt tells a real model
        tools: Sequence[Tool] = (),
    ) -> AsyncGenerator[Piece, None]:
        """Text as it is written. Asked again while nothing was delivered."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._dialect.first_token
        known = (self._counts, self._tools)
        for attempt in range(1, ATTEMPTS + 1):
            delivered = False
            body = self._body(messages, knowledge, tools)
            answer = self._answer(body, max_tokens, deadline)
            try:
                async for piece in answer:
                    delivered = True
                    yield piece
                return
            except AdapterError as exc:
                if attempt < ATTEMPTS and self._learned(exc, body):
                    continue
                if exc.code == "provider_rejected":  # so it was not for what was left out
                    self._counts, self._tools = known
                pause = _pause_or_raise(exc, attempt, deadline - loop.time(), delivered=delivered)
                await asyncio.sleep(pause)
            finally:
                await answer.aclose()

    async def _answer(
        self, body: Mapping[str, Any], max_tokens: int, deadline: float
    ) -> AsyncGenerator[Piece, None]:
        """One attempt, held to its deadlines and to the token limit."""
        loop = asyncio.get_running_loop()
        pieces, count, characters = self._pieces(body, max_tokens), 0, 0
        full = False
        try:
            while True:
                async with asyncio.timeout_at(deadline):
                    piece = await anext(pieces, None)
                if piece is None or (full and isinstance(piece, str)):
                    return
                yield piece
                if isinstance(piece, str):
                    count, characters = count + 1, characters + len(piece)
                full = count >= max_tokens or characters >= max_tokens * CHARACTERS_PER_TOKEN
                # A server that keeps to the limit has only its reason and its count left to tell.
                deadline = loop.time() + (LAST_SECONDS if full else self._dialect.between_tokens)
        except TimeoutError as exc:
            if full:
                return
            raise AdapterError(
                f"The {WHO} did not answer in time.",
                provider=self.provider,
                retryable=True,
                code="provider_timeout",
            ) from exc
        finally:
            await pieces.aclose()

    async def _pieces(self, body: Mapping[str, Any], max_tokens: int) -> AsyncGenerator[Piece, None]:
        reader = AnswerReader(self.provider, self._dialect.model)
        stream: openai.AsyncStream[object] | None = None
        try:
            stream = await self._ask(body, max_tokens)
            self._check(stream.response)
            async for chunk in stream:
                if text := reader.feed(chunk):
                    yield text
            if text := reader.finish(ended=cast("Watched", stream.response.stream).ended):
                yield text
        except openai.APIError as exc:
            # The SDK's errors quote the server, and so maybe the conversation or the key: not chained.
            raise self._judged(exc, reader) from None
        except httpx.HTTPError as exc:
            raise judged(exc, self.provider, who=WHO) from exc
        except (ValueError, TypeError, AttributeError):
            raise broken(self.provider) from None
        finally:
            if stream is not None:
                await stream.close()
        self._proven |= _EXTRAS & set(body)
        for call in reader.calls():
            yield call
        yield reader.usage or Usage(self.provider, self._dialect.model, 0, 0)

    async def _ask(self, body: Mapping[str, Any], max_tokens: int) -> "openai.AsyncStream[object]":
        """Chunks come as they are: made into the SDK's models they would cost four times the work."""
        more = {**(self._dialect.options or {}), self._limit_field: max_tokens, "stream": True}
        return await self._sdk.post(
            "/chat/completions",
            cast_to=object,
            body={**body, **more},
            options={"headers": self._headers},
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )

    def _check(self, response: Any) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("text/event-stream", ""):
            raise AdapterError(f"The {WHO} sent no stream.", provider=self.provider, retryable=False)

    def _judged(self, exc: openai.APIError, reader: AnswerReader) -> AdapterError:
        if isinstance(exc, openai.APIStatusError):
            answer = exc.response
            again = answer.headers.get("retry-after")
            return refusal(self.provider, answer.status_code, answer.content, again, who=WHO)
        if isinstance(exc, openai.APIConnectionError):
            cause = exc.__cause__ if isinstance(exc.__cause__, httpx.HTTPError) else None
            return judged(cause or httpx.ConnectError("no connection"), self.provider, who=WHO)
        return reader.given_up(exc.body)

    def _body(self, messages: Sequence[Message], knowledge: str, tools: Sequence[Tool]) -> dict[str, Any]:
        dialect = self._dialect
        told = turns(messages, knowledge, one_system=dialect.one_system, prefill=dialect.prefill)
        body: dict[str, Any] = {"model": dialect.model, "messages": told}
        if self._counts:
            body["stream_options"] = {"include_usage": True}
        if tools and self._tools:
            body["tools"] = functions(tools)
        return body

    def _learned(self, exc: AdapterError, body: Mapping[str, Any]) -> bool:
        """What a server refuses it is not asked again.

        Newer models take the limit under another name; some servers know no tools, or do not count.
        """
        if exc.code != "provider_rejected" or not isinstance(exc, Refusal):
            return False
        if exc.param == "max_tokens" and self._limit_field != _NEW_LIMIT_FIELD:
            self._limit_field = _NEW_LIMIT_FIELD
            return True
        for extra in sorted((_EXTRAS & set(body)) - self._proven, reverse=True):
            if not exc.param or exc.param.startswith(extra) or (extra, exc.param) == ("tools", "tool_choice"):
                self._tools = self._tools and extra != "tools"
                self._counts = self._counts and extra == "tools"
                return True
        return False


def _pool(endpoint: Endpoint, dialect: ChatDialect) -> httpx.AsyncClient:
    """Made once: a client reads the certificates of the world, which takes 40 ms."""
    read = max(dialect.first_token, dialect.between_tokens)
    return httpx.AsyncClient(
        base_url=endpoint.base_url,
        headers={**endpoint.headers, "Accept-Encoding": "identity"},
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_SECONDS),
        timeout=httpx.Timeout(read, connect=dialect.connect),
        verify=endpoint.base_url.startswith("https:"),
        follow_redirects=False,
        trust_env=False,
        event_hooks={"response": [watch]},
    )


def _sdk(endpoint: Endpoint, pool: httpx.AsyncClient) -> openai.AsyncOpenAI:
    """The SDK over our connections; what it would read from the environment is meant for others."""
    made = openai.AsyncOpenAI(
        api_key=endpoint.api_key,
        base_url=endpoint.base_url,
        http_client=cast("Any", pool),
        max_retries=0,
        default_headers={"Accept": "text/event-stream"},
        _enforce_credentials=False,
    )
    made.organization = made.project = None
    return made


def _pause_or_raise(exc: AdapterError, attempt: int, left: float, *, delivered: bool) -> float:
    """Seconds to wait before another try; raises the error when there must be none."""
    pause = max(exc.retry_after, BACKOFF_SECONDS * 2.0 ** (attempt - 1))
    if delivered or not exc.retryable or attempt == ATTEMPTS or pause >= left:
        raise exc
    return pause


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> OpenAICompatible:
    """Unknown options are a mistake and raise `TypeError`."""
    return OpenAICompatible(endpoint, ChatDialect(**options))
