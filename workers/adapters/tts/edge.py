"""Microsoft Edge's voices, through the `edge-tts` library (an optional extra: LGPL, unofficial service).

The library opens one WebSocket for each text and holds it in a session of its own. What it leaves to be
done here: hanging up at once (its generators would wait for a closing handshake, or for the garbage
collector), telling a turn that ended from one that broke off, deadlines, and the sound itself.
"""

import asyncio
import importlib
import importlib.util
import re
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast

from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.text import clean
from workers.adapters.tts.base import SpeechEvent, SpeechRequest, Streaming, Timings, Word
from workers.adapters.tts.compressed import CompressedDecoder, decoded

SERVICE = "https://speech.platform.bing.com/consumer/speech/synthesize/readaloud"
TICKS_PER_MS = 10_000
COMMUNICATE = "edge_tts.communicate"
_VOICE = re.compile(r"([a-z]{2,}(?:-[A-Za-z]+)+)-([A-Za-z0-9]+Neural)")
_PROSODY = {"volume": re.compile(r"[+-]\d+%"), "pitch": re.compile(r"[+-]\d+Hz")}
_CODES = {
    401: "provider_unauthorized",
    403: "provider_unauthorized",
    404: "provider_not_found",
    429: "provider_busy",
}


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """`connect_seconds` is for connection and handshake, `read_seconds` the longest silence."""

    provider: str = "edge"
    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    volume: str = "+0%"
    pitch: str = "+0Hz"

    def __post_init__(self) -> None:
        for name, form in _PROSODY.items():
            if not form.fullmatch(str(getattr(self, name))):
                raise TypeError(f"{name} is not as in {form.pattern}")


class Edge(Streaming):
    """A synthesizer over Edge's read-aloud service. The rate of its MP3 is read from the stream."""

    def __init__(self, endpoint: Endpoint, options: EdgeOptions) -> None:
        self.provider = options.provider
        self.base_url = (endpoint.base_url or SERVICE).rstrip("/")
        self._options = options

    async def once(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """One attempt at one text."""
        library = await asyncio.to_thread(module, COMMUNICATE, self.base_url, self.provider)
        text = clean(request.text).strip()
        if not text:
            raise self._error("There is nothing to say.", "no_audio", retryable=False)
        line = Line(self.provider)
        turns = self._begun(library, text, request, line)
        decoder = CompressedDecoder("mp3", self.provider)
        try:
            while (message := await line.next(self._wait(decoder))) is not None:
                if message["type"] != "audio":
                    yield Timings((), (_word(message),))
                    continue
                async for chunk in decoded(decoder, message["data"]):
                    yield chunk
        except AdapterError:
            raise
        except Exception as exc:
            # The library lets errors of its parsing through as they are: any of them is the service's fault.
            raise self._judged(exc, turns) from exc
        finally:
            await line.hang_up()
        if turns.open:
            raise self._truncated()
        for chunk in decoder.finish():
            yield chunk

    def _begun(self, library: Any, text: str, request: SpeechRequest, line: "Line") -> "Turns":
        """Give the line what to say; nothing is sent before it is asked."""
        options = self._options
        named = _VOICE.fullmatch(request.voice)
        if named is None:
            raise self._error("There is no such voice.", "voice_not_found", retryable=False)
        speaking = library.Communicate(
            text,
            # The library makes this of most short names, and refuses those with a script in them.
            f"Microsoft Server Speech Text to Speech Voice ({named[1]}, {named[2]})",
            rate=f"{_percent(request.speed):+d}%",
            volume=options.volume,
            pitch=options.pitch,
            boundary="WordBoundary",
            connector=line.connector(library),
        )
        speaking.texts = list(speaking.texts)
        turns = speaking.state = Turns(speaking.state, len(speaking.texts), line.cut)
        line.events = speaking.stream()
        return turns

    def _wait(self, decoder: CompressedDecoder) -> float:
        options = self._options
        return options.read_seconds + (0 if decoder.sample_rate else options.connect_seconds)

    def _judged(self, exc: Exception, turns: "Turns") -> AdapterError:
        if turns.lost or (turns.open and type(exc).__name__ in ("NoAudioReceived", "WebSocketError")):
            return self._truncated()
        return judged(exc, self.provider)

    def _truncated(self) -> AdapterError:
        return self._error("The speech provider's answer broke off.", "provider_truncated", retryable=True)

    def _error(self, message: str, code: str, *, retryable: bool) -> AdapterError:
        return AdapterError(message, provider=self.provider, retryable=retryable, code=code)


class Turns(dict[str, Any]):
    """The library's state, watched: it writes a text when a turn begins and an offset when one ended.

    Nothing else tells a turn that ended from a connection that did. `over` is called after the last one,
    and when one begins though the one before it did not end: what would be said next has a gap before it.
    """

    def __init__(self, state: Mapping[str, Any], texts: int, over: Callable[[], None]) -> None:
        super().__init__(state)
        self._left, self._over = texts, over
        self.open = self.lost = False

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        if key == "partial_text":
            self.lost = self.lost or self.open
            self.open = True
            if self.lost:
                self._over()
        elif key == "offset_compensation":
            self.open = self.lost
            self._left -= 1
            if not self._left:
                self._over()


class Line:
    """What the library says, and the sockets it says it over.

    The library is never cancelled while it holds an open socket: it would wait for the other side to
    close as well. Its sockets are shut instead, and it ends by itself.
    """

    def __init__(self, provider: str) -> None:
        self.events: AsyncGenerator[dict[str, Any], None] | None = None
        self._provider = provider
        self._sockets: list[socket.socket] = []
        self._step: asyncio.Task[dict[str, Any] | None] | None = None
        self._close: Callable[[], Awaitable[None]] | None = None
        self._shut = False

    def connector(self, library: Any) -> Any:
        """For one call: each turn takes a socket of its own anyway, and this one tells which.

        The library closes it behind each turn and asks the next one of it: a long text's second part,
        and the second try with the clock set right. So it closes when the line does.
        """
        made = library.aiohttp.TCPConnector(socket_factory=self._socket)
        self._close, made.close = made.close, _nothing
        return made

    async def next(self, seconds: float) -> dict[str, Any] | None:
        """The next message, or None at the end. Raises what the library raises, and `AdapterError`."""
        self._step = asyncio.create_task(self._one())
        done, _ = await asyncio.wait([self._step], timeout=seconds)
        if not done:
            message = "The speech provider did not answer in time."
            raise AdapterError(message, provider=self._provider, retryable=True, code="provider_timeout")
        return self._step.result()

    def cut(self) -> None:
        """Shut the sockets; a new one is refused."""
        self._shut = True
        for one in self._sockets:
            with suppress(OSError):  # closed already
                one.shutdown(socket.SHUT_RDWR)

    async def hang_up(self) -> None:
        """Shut the sockets and let the library clear up behind itself."""
        self.cut()
        if self._step:
            self._step.cancel()
            await asyncio.gather(self._step, return_exceptions=True)
        # Left where it stands, its inner generator would keep the session until it is collected.
        with suppress(Exception):  # whatever it says about the shut socket
            while await self._one() is not None:
                pass
        if self._close:
            await self._close()

    async def _one(self) -> dict[str, Any] | None:
        return await anext(self.events, None) if self.events else None

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        if self._shut:
            raise OSError("hung up")
        made = socket.socket(*address[:3])
        made.setblocking(False)
        self._sockets.append(made)
        return made


async def _nothing() -> None:
    """In place of a close that comes too early."""


def judged(exc: Exception, provider: str) -> AdapterError:
    """What the library or its connection ran into."""
    if isinstance(status := getattr(exc, "status", None), int) and status:
        message, code = f"The speech provider answered {status}.", _CODES.get(status, "provider_error")
        retryable = status == 429 or status >= 500
    else:
        message, code, retryable = _fault(exc)
    return AdapterError(message, provider=provider, retryable=retryable, code=code)


def _fault(exc: Exception) -> tuple[str, str, bool]:
    """Message, code and whether another try may help. The library's errors are told by their names."""
    name = type(exc).__name__
    if isinstance(exc, TimeoutError):
        return "The speech provider did not answer in time.", "provider_timeout", True
    if name == "SkewAdjustmentError":  # refused, and without the date that would say why
        return "The speech provider does not let us in.", "provider_unauthorized", False
    if name == "NoAudioReceived":
        return "The speech provider sent no sound.", "no_audio", True
    if isinstance(exc, OSError) or name in ("WebSocketError", "ServerDisconnectedError"):
        return "The connection to the speech provider failed.", "provider_unreachable", True
    return "The speech provider's answer cannot be read.", "provider_error", False


def installed() -> bool:
    """Whether the extra `edge` is there."""
    return importlib.util.find_spec("edge_tts") is not None


def module(name: str, base_url: str, provider: str) -> ModuleType:
    """One of the library's modules, speaking to an address. Slow the first time: call it in a thread.

    Raises `AdapterError` where the library is not installed.
    """
    if not installed():
        raise AdapterError(
            "The speech provider is not configured: edge-tts is not installed.",
            provider=provider,
            retryable=False,
            code="provider_not_configured",
        )
    return _module(name, base_url.rstrip("/"))


@lru_cache(maxsize=8)
def _module(name: str, base_url: str) -> ModuleType:
    """The library keeps its addresses in globals: another address takes a copy of the module."""
    if base_url == SERVICE:
        return importlib.import_module(name)
    spec = cast("ModuleSpec", importlib.util.find_spec(name))
    copy = importlib.util.module_from_spec(spec)
    cast("Loader", spec.loader).exec_module(copy)
    for constant in ("WSS_URL", "VOICE_LIST"):
        if url := getattr(copy, constant, ""):
            bare = SERVICE.partition("://")[2]
            scheme = base_url.partition("://")[0]
            scheme = scheme.replace("http", "ws") if constant == "WSS_URL" else scheme
            setattr(copy, constant, f"{scheme}://{base_url.partition('://')[2]}{url.partition(bare)[2]}")
    return copy


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> Edge:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    made = Edge(endpoint, EdgeOptions(**options))
    if installed():
        # Reading the library takes a quarter of a second: before the first sentence, not in it.
        threading.Thread(target=_module, args=(COMMUNICATE, made.base_url), name="edge", daemon=True).start()
    return made


def _percent(speed: float) -> int:
    """The service speaks half to twice as fast as usual."""
    return round(min(max(speed, 0.5), 2.0) * 100) - 100


def _word(message: Mapping[str, Any]) -> Word:
    start = message["offset"] / TICKS_PER_MS
    return Word(clean(message["text"]), round(start), round(start + message["duration"] / TICKS_PER_MS))
