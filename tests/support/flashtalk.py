"""A FlashTalk server without a model: its WebSocket protocol to the byte, and every way it goes wrong.

It is as strict as the real one (lengths, order, base64), and has its defects: one session for whoever
connects, and a connection that ends wipes it.

    with flashtalk() as server:                       # server.url
        server.ways += ["", "drop"]                   # for the next chunks: faithful, then cut off
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from tests.support import drawn_frames, misdrawn
from tests.support.drawn_frames import Session

MAX_BYTES = 50 * 1024 * 1024


@dataclass
class FlashTalk:
    """How the server behaves, and what it saw. `ways` are for the next chunks, `openings` for the next
    `init`s; "" is the faithful way. After them it is faithful again."""

    url: str = ""
    width: int = 96
    height: int = 160
    frame_num: int = 33
    motion_frames_num: int = 5
    shared: bool = True
    """Whether there is one session for everybody, which any `init` takes over and any close wipes."""
    progressive: bool = False
    seconds_per_chunk: float = 0.0
    quality: int = 85
    ready: bytes = b""
    """An answer that lies ready, for measuring what else takes time."""
    ways: list[str] = field(default_factory=list)
    openings: list[str] = field(default_factory=list)
    session: Session | None = None
    inits: list[dict[str, Any]] = field(default_factory=list)
    chunks: int = 0
    connections: int = 0
    open_now: int = 0
    most_open: int = 0
    closes: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    busy: threading.Lock = field(default_factory=threading.Lock)
    marks: list[tuple[float, float]] = field(default_factory=list)
    """For each chunk the moments (`time.perf_counter`) when it was heard and when its answer was ready."""

    @property
    def slice_frames(self) -> int:
        return self.frame_num - self.motion_frames_num


class _Gone(Exception):
    """The connection is cut off."""


def _handle(state: FlashTalk, socket: ServerConnection) -> None:
    state.connections += 1
    state.open_now += 1
    state.most_open = max(state.most_open, state.open_now)
    if socket.request is not None:
        state.headers.append(dict(socket.request.headers.raw_items()))
    own: list[Session] = []
    try:
        for message in socket:
            if isinstance(message, str):
                if not _word(state, socket, message, own):
                    break
            else:
                _sound(state, socket, message, own)
    except (ConnectionClosed, OSError):
        pass
    except _Gone:
        _cut(socket)
    finally:
        state.open_now -= 1
        if state.shared:
            state.session = None  # whoever's it was


def _word(state: FlashTalk, socket: ServerConnection, text: str, own: list[Session]) -> bool:
    try:
        message = json.loads(text)
    except ValueError:
        _error(socket, "Invalid JSON")
        return True
    kind = message.get("type")
    if kind == "init":
        _init(state, socket, message, own)
    elif kind == "close":
        state.closes += 1
        state.session = None
        socket.send(json.dumps({"type": "close_ok"}))
    else:
        _error(socket, f"Unknown message type: {kind}")
    return True


def _init(state: FlashTalk, socket: ServerConnection, message: dict[str, Any], own: list[Session]) -> None:
    state.inits.append(message)
    way = state.openings.pop(0) if state.openings else ""
    if way in _AT_INIT:
        _AT_INIT[way](state, socket)
        return
    try:
        session = _session(state, message)
    except ValueError as error:
        _error(socket, str(error))
        return
    own[:] = [session]
    if state.shared:
        state.session = session
    said = {
        "type": "init_ok",
        "frame_num": state.frame_num,
        "motion_frames_num": state.motion_frames_num,
        "slice_len": state.slice_frames,
        "fps": 25,
        "height": state.height,
        "width": state.width,
    }
    socket.send(json.dumps(said | _ANNOUNCED.get(way, {})))


def _session(state: FlashTalk, message: dict[str, Any]) -> Session:
    if not message.get("ref_image"):
        raise ValueError("Missing 'ref_image'")
    try:
        file = base64.b64decode(message["ref_image"], validate=True)
    except (binascii.Error, TypeError):
        raise ValueError("Invalid base64") from None
    try:
        drawn_frames.plate(file, state.width, state.height)
    except ValueError as error:
        raise ValueError(f"Init failed: {error}") from None
    return Session(file, state.width, state.height, state.slice_frames, quality=state.quality)


def _sound(state: FlashTalk, socket: ServerConnection, data: bytes, own: list[Session]) -> None:
    began = time.perf_counter()
    session = state.session if state.shared else next(iter(own), None)
    if session is None:
        _error(socket, "No active session. Send 'init' first.")
        return
    if not data.startswith(b"AUDI"):
        _error(socket, "Binary message must start with 'AUDI' magic")
        return
    expected = session.chunk_samples * 2
    if len(data) - 4 != expected:
        _error(socket, f"Expected {expected} bytes ({session.chunk_samples} samples), got {len(data) - 4}")
        return
    state.chunks += 1
    if state.ready:
        socket.send(state.ready)
        return
    way = state.ways.pop(0) if state.ways else ""
    pcm = np.frombuffer(data, "<i2", offset=4)
    with state.busy:
        if state.seconds_per_chunk:
            time.sleep(state.seconds_per_chunk)
        if way == "foreign":
            session = replace(session, file=misdrawn.STRANGER)
        if way in _BEFORE:
            _BEFORE[way](state, socket)
            return
        made = session.hear(pcm)
    state.marks.append((began, time.perf_counter()))
    _answer(state, socket, way, made, session)


def _answer(
    state: FlashTalk, socket: ServerConnection, way: str, made: list[bytes], session: Session
) -> None:
    if way == "half":
        _send_half(socket, misdrawn.envelope(made))
        raise _Gone
    if not (state.progressive or way == "drop_progressive"):
        socket.send(misdrawn.answer(way, made, session))
        return
    for picture in made[: 3 if way == "drop_progressive" else None]:
        socket.send(misdrawn.envelope([picture]))
    if way == "drop_progressive":
        raise _Gone


def _send_half(socket: ServerConnection, data: bytes) -> None:
    """The first half of a message, as a WebSocket frame that promises all of it."""
    socket.socket.sendall(struct.pack("!BBQ", 0x82, 127, len(data)) + data[: len(data) // 2])


def _stall(state: FlashTalk, _socket: ServerConnection | None = None) -> None:
    state.stalled.set()
    state.released.wait(60)


def _drop(_: FlashTalk, socket: ServerConnection) -> None:
    raise _Gone


def _says(text: str) -> Any:
    return lambda state, socket: _error(socket, text)


def _lost(state: FlashTalk, socket: ServerConnection) -> None:
    state.session = None
    _error(socket, "No active session. Send 'init' first.")


_BEFORE: dict[str, Any] = {
    "stall": _stall,
    "drop": _drop,
    "lost": _lost,
    "text": lambda state, socket: socket.send("good morning"),
    "list": lambda state, socket: socket.send("[1]"),
    "chatter": lambda state, socket: [socket.send('{"type":"news"}') for _ in range(200)],
    **{way: _says(text) for way, text in misdrawn.SAID.items()},
}
_AT_INIT: dict[str, Any] = {
    "drop": _drop,
    "stall": _stall,
    "garbage": lambda state, socket: socket.send("{"),
    "pictures": lambda state, socket: socket.send(misdrawn.envelope([])),
    "refuse": _says("Init failed: no face in /models/secret"),
    "oom": _says("Init failed: CUDA out of memory"),
}
_ANNOUNCED: dict[str, dict[str, Any]] = {
    "fps": {"fps": 30},
    "huge": {"width": 1_000_000},
    "nothing": {"slice_len": None},
    "odd": {"chunk_samples": 17_000},
}


def _error(socket: ServerConnection, text: str) -> None:
    socket.send(json.dumps({"type": "error", "message": text}))


def _cut(socket: ServerConnection) -> None:
    with suppress(OSError):
        socket.close_socket()


@contextmanager
def flashtalk(port: int = 0, **settings: Any) -> Iterator[FlashTalk]:
    """Run it in threads until the block ends."""
    state = FlashTalk(**settings)
    server = _server(state, "127.0.0.1", port)
    state.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        thread.join(5)


def _server(state: FlashTalk, host: str, port: int) -> Server:
    return serve(
        lambda socket: _handle(state, socket),
        host,
        port,
        max_size=MAX_BYTES,
        compression=None,
        close_timeout=1,
        ping_interval=None,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.flashtalk", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--width", type=int, default=416)
    parser.add_argument("--height", type=int, default=704)
    options = parser.parse_args()
    server = _server(FlashTalk(width=options.width, height=options.height), options.host, options.port)
    print(f"FlashTalk on ws://{options.host}:{options.port}", flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
