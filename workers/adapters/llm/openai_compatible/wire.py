"""The bytes below the SDK: bounded, watched for the end, and mended where servers forget the envelope."""

from collections.abc import AsyncIterator

import httpx

MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_ERROR_BYTES = 16 * 1024
_DONE = (b"data: [DONE]", b"data:[DONE]")
_TAIL = 32


class Watched(httpx.AsyncByteStream):
    """The body of an answer. `ended` is whether the server said that nothing more comes."""

    def __init__(self, body: httpx.AsyncByteStream, *, refused: bool) -> None:
        self._body, self._refused = body, refused
        self._tail = b""
        self._size = 0

    @property
    def ended(self) -> bool:
        return self._tail.rstrip().endswith(_DONE)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._body:
            self._size += len(data)
            if self._refused and self._size > MAX_ERROR_BYTES:
                return  # what is wrong stands at its beginning
            if self._size > MAX_ANSWER_BYTES:
                raise httpx.DecodingError("the answer has no end")
            self._tail = (self._tail + data)[-_TAIL:]
            yield data if self._refused else _in_envelope(data)

    async def aclose(self) -> None:
        await self._body.aclose()


def _in_envelope(data: bytes) -> bytes:
    """A bare JSON object is an error that lost its envelope; the SDK would pass over it."""
    head = data.lstrip()
    return b"data: " + head.rstrip() + b"\n\n" if head.startswith(b'{"error"') else data


async def watch(response: httpx.Response) -> None:
    """Put the watch under a response; a hook of the pool of connections."""
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = Watched(response.stream, refused=not response.is_success)
