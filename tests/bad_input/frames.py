"""Broken WebSocket frames and handshakes, byte by byte, as no library would send them."""

import asyncio
import base64
import os
import random
from urllib.parse import urlsplit

from tests.bad_input.explore import Broken
from tests.bad_input.findings import Finding, Findings
from tests.bad_input.sockets import Line

PART = "frames"
SECONDS = 15.0
MASK = b"\1\2\3\4"


def frame(first: int, length: bytes, payload: bytes = b"", mask: bytes = MASK) -> bytes:
    """The bytes of a frame: its first byte, how it tells its length, and what is in it."""
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload)) if mask else payload
    return bytes([first]) + length + mask + masked


def _length(size: int, *, masked: bool = True) -> bytes:
    return bytes([size | (0x80 if masked else 0)])


FRAMES: dict[str, bytes] = {
    "reserved bits": frame(0xF1, _length(2), b"{}"),
    "an opcode that is none": frame(0x83, _length(2), b"{}"),
    "a control opcode that is none": frame(0x8F, _length(0)),
    "no mask": frame(0x81, _length(2, masked=False), b"{}", b""),
    "text that is no UTF-8": frame(0x81, _length(4), b"\xff\xfe\xc0\x80"),
    "half a character": frame(0x81, _length(2), b"\xe2\x82"),
    "a long ping": frame(0x89, b"\xfe" + (200).to_bytes(2, "big"), bytes(200)),
    "a ping in pieces": frame(0x09, _length(1), b"x"),
    "a piece of nothing": frame(0x80, _length(2), b"{}"),
    "a text within a text": frame(0x01, _length(1), b"{") + frame(0x81, _length(2), b"{}"),
    "a close of one byte": frame(0x88, _length(1), b"\x03"),
    "a close with a code that is none": frame(0x88, _length(2), (999).to_bytes(2, "big")),
    "a close with a reason that is no text": frame(0x88, _length(4), b"\x03\xe8\xff\xfe"),
    "a length of 2**63": frame(0x81, b"\xff" + (2**63).to_bytes(8, "big"), b"{}"),
    "a length of 2**62": frame(0x82, b"\xff" + (2**62).to_bytes(8, "big"), b"{}"),
    "a long way to write two": frame(0x81, b"\xff" + (2).to_bytes(8, "big"), b"{}"),
    "ten thousand empty pieces": frame(0x01, _length(0)) + frame(0x00, _length(0)) * 10_000,
    "a thousand pings": frame(0x89, _length(4), b"ping") * 1_000,
    "a thousand pongs": frame(0x8A, _length(4), b"pong") * 1_000,
}

VERSION, KEY = "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: {key}"
GOOD = (VERSION, KEY)
# The path, and the headers beside those that every handshake has.
HANDSHAKES: dict[str, tuple[str, tuple[str, ...]]] = {
    "no key": ("{path}", (VERSION,)),
    "a short key": ("{path}", (VERSION, "Sec-WebSocket-Key: eA==")),
    "an old version": ("{path}", ("Sec-WebSocket-Version: 0", KEY)),
    "a version that is none": ("{path}", ("Sec-WebSocket-Version: x", KEY)),
    "two keys": ("{path}", (VERSION, KEY, KEY)),
    "protocols": ("{path}", (VERSION, KEY, "Sec-WebSocket-Protocol: ,;=")),
    "extensions": ("{path}", (VERSION, KEY, 'Sec-WebSocket-Extensions: ;;;="",')),
    "another path": ("/ws/", (VERSION, KEY)),
    "a page's path": ("/login/", (VERSION, KEY)),
    "an id that is none": ("/ws/sessions/ses_../", (VERSION, KEY)),
    "bytes in the path": ("/ws/sessions/%ff%00/", (VERSION, KEY)),
    "a long query": ("{path}?" + "a=b&" * 3_000, (VERSION, KEY)),
    "a query of bytes": ("{path}?token=%ff%fe&since=%00", (VERSION, KEY)),
    "an origin that is none": ("{path}", (VERSION, KEY, "Origin: \\x00://[::")),
}


def _request(host: str, path: str, headers: tuple[str, ...]) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket"]
    lines += [header.replace("{key}", key) for header in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _answer(host: str, port: int, head: bytes, body: bytes = b"") -> bytes:
    """All that the server says until it closes; what it says in some seconds where it does not."""
    reader, writer = await asyncio.open_connection(host, port)
    said = b""
    try:
        writer.write(head)
        await writer.drain()
        if body:
            async with asyncio.timeout(SECONDS):
                said = await reader.readuntil(b"\r\n\r\n")
            writer.write(body)
            await writer.drain()
        async with asyncio.timeout(3):
            while piece := await reader.read(65_536):
                said += piece
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
    return said


async def run(line: Line, findings: Findings, *, seed: int, examples: int = 40) -> None:
    """Send every broken frame and handshake once, and `examples` frames of random bytes.

    They are sent to the session of `line`, which has to answer over another socket after each frame.
    """
    await line.join()
    for name, (path, headers) in HANDSHAKES.items():
        findings.count(PART)
        where, host, own = _address(line.url)
        said = await _answer(*where, _request(host, path.replace("{path}", own.partition("?")[0]), headers))
        if not said.startswith(b"HTTP/1.1 ") or said.startswith(b"HTTP/1.1 5"):
            findings.add(Finding(PART, f"handshake with {name}", f"answered by {said[:120]!r}"))
    chance = random.Random(seed)
    made_up = {f"random {number}": chance.randbytes(chance.randrange(1, 400)) for number in range(examples)}
    for name, sent in {**FRAMES, **made_up}.items():
        findings.count(PART)
        try:
            await _bear(line, sent)
        except Broken as error:
            findings.add(Finding(PART, name, str(error), {"sent": sent.hex()[:2000]}))


async def _bear(line: Line, sent: bytes) -> None:
    """Send this to the session. Raises `Broken` where it opens no socket, or does not answer afterwards."""
    await line.join()
    where, host, own = _address(line.url)
    said = await _answer(*where, _request(host, own, GOOD), sent)
    if not said.startswith(b"HTTP/1.1 101"):
        raise Broken(f"the socket did not open: {said[:120]!r}")
    await line.anew()


def _address(url: str) -> tuple[tuple[str, int], str, str]:
    """Host and port, both as a header, and path with query."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    return (parts.hostname, parts.port or 80), parts.netloc, f"{parts.path}?{parts.query}"
