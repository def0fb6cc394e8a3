"""One call to a FlashHead service over HTTP: what is asked, and what its answers mean.

The request is the one that OpenTalking's client sends, so that its services understand it. Ours
(`manage.py flashhead_service`) understands more: `session`, so that a film goes on where the one
before ended, and pictures and sound inside the request, where no folder is shared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from workers.adapters.avatar.film import MAX_BYTES
from workers.adapters.avatar.flashhead.places import Address
from workers.adapters.avatar.remote.availability import reach
from workers.adapters.avatar.remote.faults import fault
from workers.adapters.deadline import whole_client
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.text import parsed

PATH = "/v1/generate"
CONNECT_SECONDS = 10.0
DOWNLOAD_SECONDS = 60.0
MAX_ANSWER_BYTES = 1024 * 1024
MAX_ERROR_BYTES = 16 * 1024
MAX_CANDIDATES = 8
MAX_BUSY_SECONDS = 10.0
PLAIN = {"Accept-Encoding": "identity"}  # so that what arrives is as large as it looks
_LISTS = ("outputs", "artifacts", "result", "data")
_NAMES = ("path", "url", "uri", "file", "filename", "output_path", "video")
_UNSUPPORTED = re.compile(r"[Uu]nsupported config keys[^\[]*\[([^\]]*)\]")
_CODES = {408: "model_timeout", 409: "model_busy", 425: "model_busy", 429: "model_busy", 503: "model_busy"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service calls its film, in several ways perhaps, and whether it went on from the last."""

    names: tuple[str, ...]
    continued: bool
    slice_frames: int


class Busy(AdapterError):
    """Another stream is being drawn."""


@dataclass(slots=True)
class Service:
    """A service at one address. It may be shared between threads."""

    endpoint: Endpoint
    provider: str
    refused: set[str] = field(default_factory=set)
    """Keys of `config` that this service takes no notice of but of the whole request."""

    def reach(self) -> None:
        """Connect and leave. Raises `AdapterError` (`model_unreachable`)."""
        reach(self.endpoint.base_url, self.provider)

    def generate(self, body: Mapping[str, Any], config: Mapping[str, Any], seconds: float) -> Answer:
        """Have a film made. Raises `AdapterError`."""
        while True:
            asked = {name: value for name, value in config.items() if name not in self.refused}
            status, headers, answer = self._post({**body, "config": asked}, seconds)
            if status == httpx.codes.OK:
                return self._answer(answer)
            unknown = _unknown_keys(answer) & set(asked) if status == httpx.codes.BAD_REQUEST else set()
            if not unknown:
                raise self._refusal(status, headers)
            self.refused |= unknown

    def fetch(self, address: Address) -> bytes:
        """Download a film. The key goes to the service itself and to nobody else."""
        own = httpx.URL(self.endpoint.base_url)
        try:
            url = httpx.URL(address.url)
        except httpx.InvalidURL as error:
            raise fault("model_error", "The model's answer cannot be read.", self.provider) from error
        mine = (own.scheme, own.host, own.port) == (url.scheme, url.host, url.port)
        headers = {**(self.endpoint.headers if mine else {}), **PLAIN}
        origin = str(url.copy_with(raw_path=b"/"))
        status, _, body = self._call(
            whole_client(origin), "GET", str(url), DOWNLOAD_SECONDS, MAX_BYTES, headers=headers
        )
        if status != httpx.codes.OK:
            raise fault("model_error", f"The model's film cannot be fetched ({status}).", self.provider)
        return body

    def _post(self, body: Mapping[str, Any], seconds: float) -> tuple[int, httpx.Headers, bytes]:
        headers = {**self.endpoint.headers, "Content-Type": "application/json", **PLAIN}
        pool = whole_client(self.endpoint.base_url)
        content = json.dumps(body).encode()
        return self._call(pool, "POST", PATH, seconds, MAX_ANSWER_BYTES, headers=headers, content=content)

    def _call(
        self, pool: httpx.Client, method: str, url: str, seconds: float, most: int, **call: Any
    ) -> tuple[int, httpx.Headers, bytes]:
        timeout = httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
        try:
            with pool.stream(method, url, timeout=timeout, **call) as response:
                bound = most if response.status_code == httpx.codes.OK else MAX_ERROR_BYTES
                return response.status_code, response.headers, self._body(response, bound)
        except httpx.TimeoutException as error:
            raise self._late() from error
        except httpx.TransportError as error:
            message = "The connection to the model's service failed."
            raise fault("model_unreachable", message, self.provider) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise fault("model_error", "The model's answer cannot be read.", self.provider) from error

    def _body(self, response: httpx.Response, most: int) -> bytes:
        """As much as is allowed; of an error its beginning is enough."""
        parts, size = [], 0
        for part in response.iter_raw():
            parts.append(part)
            size += len(part)
            if size > most and response.status_code == httpx.codes.OK:
                raise fault("frames_malformed", "The model's answer is too large.", self.provider)
            if size > most:
                break
        return b"".join(parts)

    def _late(self) -> AdapterError:
        return fault("model_timeout", "The model's service did not answer in time.", self.provider)

    def _refusal(self, status: int, headers: httpx.Headers) -> AdapterError:
        """The service's own words stay out of it: they may hold paths and more."""
        code = _CODES.get(status, "model_error" if status >= 500 else "model_rejected")
        message = f"The model's service answered {status}."
        if code != "model_busy":
            return fault(code, message, self.provider)
        busy = Busy(message, provider=self.provider, retryable=True, code=code)
        busy.retry_after = _seconds(headers.get("retry-after"))
        return busy

    def _answer(self, body: bytes) -> Answer:
        try:
            told = parsed(body)
        except ValueError as error:
            raise fault("model_error", "The model's answer is no JSON.", self.provider) from error
        told = told if isinstance(told, dict) else {}
        names = tuple(dict.fromkeys(_references(told)))[:MAX_CANDIDATES]
        if not names:
            raise fault("model_error", "The model's answer names no film.", self.provider)
        about = told.get("metadata")
        about = about if isinstance(about, dict) else {}
        frames = about.get("slice_frames")
        return Answer(names, about.get("continued") is True, frames if isinstance(frames, int) else 0)


def _references(told: Mapping[str, Any]) -> Iterator[str]:
    for name in _LISTS:
        found = told.get(name)
        for item in found if isinstance(found, list) else [found]:
            yield from _names_of(item)


def _names_of(item: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(item, str) and item:
        yield item
    elif isinstance(item, dict) and depth < 3:
        for name in _NAMES:
            if isinstance(item.get(name), str) and item[name]:
                yield item[name]
        yield from _names_of(item.get("artifact"), depth + 1)


def _unknown_keys(body: bytes) -> set[str]:
    """What OmniRT says of keys that it does not know, in one sentence of text."""
    found = _UNSUPPORTED.search(body.decode("utf-8", "replace"))
    return set(re.findall(r"\w+", found.group(1))) if found else set()


def _seconds(header: str | None) -> float:
    try:
        return min(max(float(header or 0.0), 0.0), MAX_BUSY_SECONDS)
    except ValueError:
        return 0.0
