"""Every port that a stack listens on, sent what does not belong there; and the media's datagrams.

Ports are found by looking at the processes. One of a part that is not in `PARTS` fails the tests.
"""

import contextlib
import random
import re
import socket
import time

from project.bench.client import LiveClient
from project.bench.stack import EmbeddedStack
from tests.bad_input.findings import Finding, Findings
from tests.support.sockets import listening

PART = "ports"
SECONDS = 5.0
# Parts that may listen, and how whoever has no key is kept out (tests/stack/test_strangers.py proves it).
PARTS = {
    "web": "pages and API: keys, logins and tokens",
    "valkey": "its password",
    "storage": "signatures (S3), certificates of its own (gRPC), signed tokens (HTTP)",
    "speech": "its key",
}

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(100_000),
    "a line without an end": b"A" * 300_000,
    "lines": b"\r\n" * 5_000,
    "a TLS hello cut short": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(20),
    "a TLS record of the wrong size": b"\x16\x03\x01\xff\xff" + bytes(70_000),
    "an HTTP/2 preface and a wild frame": HTTP2 + b"\xff\xff\xff" + bytes(46),
    "an array of a thousand million": b"*1000000000\r\n$1000000000\r\n",
    "a negative array": b"*-2147483648\r\n$-5\r\nx\r\n",
    "nested arrays": b"*1\r\n" * 20_000,
    "half a request": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
    "many headers": b"GET / HTTP/1.1\r\n" + b"X-Y: z\r\n" * 3_000 + b"\r\n",
    "a method that is none": b"\x00\xff\xfe / HTTP/9.9\r\n\r\n",
    "an address of another's": b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
    "a tunnel": b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "a length and chunks": POST + b"Content-Length: 4\r\n" + CHUNKED + b"0\r\n\r\nGET /",
    "a chunk of everything": POST + CHUNKED + b"ffffffffffffffff\r\nx",
}


def ports(stack: EmbeddedStack) -> dict[int, str]:
    """Every listening TCP port of the stack, and the part that it belongs to."""
    names = {pid: re.sub(r"\d+$", "", name) for name, pid in stack.pids().items()}
    return {
        port: names.get(pid, f"process {pid}") for pid in stack.everything() for _, port in listening(pid)
    }


def garbage(stack: EmbeddedStack, findings: Findings, *, seed: int, examples: int = 3) -> None:
    """Send every port what does not belong there, and see that it listens still."""
    chance = random.Random(seed)
    made_up = {f"random {number}": chance.randbytes(chance.randrange(1, 5_000)) for number in range(examples)}
    for port, part in ports(stack).items():
        if part not in PARTS:
            findings.add(Finding(PART, part, f"nobody said who may come to port {port}"))
        for name, sent in {**GARBAGE, **made_up}.items():
            findings.count(PART)
            said = _answer(port, sent)
            if said.startswith((b"HTTP/1.1 2", b"+OK", b"+PONG")) or re.match(rb"HTTP/1\.\d 5", said):
                what = f"{name} is answered by {said[:80]!r}"
                findings.add(Finding(PART, part, what, {"port": port, "sent": sent.hex()[:2_000]}))
        try:
            socket.create_connection(("127.0.0.1", port), timeout=SECONDS).close()
        except OSError as error:
            findings.add(Finding(PART, part, f"port {port} does not listen any more: {error}"))


def _answer(port: int, sent: bytes) -> bytes:
    """The first that is said within a second; nothing where the line is closed or reset."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as line:
        line.sendall(sent)
        line.settimeout(1.0)
        return line.recv(400)
    return b""


# --- Datagrams ----------------------------------------------------------------------------------

DATAGRAMS: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"\x80",
    "STUN without its cookie": b"\x00\x01\x00\x00" + bytes(16),
    "STUN with a length that lies": b"\x00\x01\xff\xfc\x21\x12\xa4\x42" + bytes(12),
    "STUN of a stranger": b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),
    "a DTLS hello of nothing": b"\x16\xfe\xfd" + bytes(8) + b"\x00\x00",
    "a DTLS record of the wrong size": b"\x16\xfe\xfd" + bytes(8) + b"\xff\xff" + bytes(50),
    "RTP in the clear": b"\x80\x6f\x00\x01" + bytes(8) + b"hello",
    "RTP of extensions": b"\x90\x6f\x00\x01" + bytes(8) + b"\xbe\xde\xff\xff",
    "RTCP in the clear": b"\x81\xc8\x00\x06" + bytes(24),
    "RTCP that says goodbye": b"\x81\xcb\x00\x01" + bytes(4),
    "large": bytes(60_000),
}


async def datagrams(
    base_url: str, key: str, avatar: str, findings: Findings, *, seed: int, examples: int = 200
) -> None:
    """Send a session's media port what is not from its peer; pictures go on coming."""
    chance = random.Random(seed)
    sent = [*DATAGRAMS.values(), *(chance.randbytes(chance.randrange(1, 1_400)) for _ in range(examples))]
    async with LiveClient(base_url, key, avatar, {"record": False}) as client:
        await client.create()
        await client.join()
        await client.connect_media()
        answer = next(event for event in client.events if event.type == "rtc.answer")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            for where in _candidates(str(answer.data["sdp"])):
                for data in sent:
                    findings.count(PART)
                    line.sendto(data, where)
        try:
            since = time.monotonic()
            await client.until(lambda: client.watcher.pictures[-1].at > since + 1.0)
            await client.send("ping")
            await client.event("pong", since=since)
        except (TimeoutError, ConnectionError) as error:
            findings.add(Finding(PART, "datagrams", f"the session went silent: {error}"[:400]))
        await client.send("session.end")
        with contextlib.suppress(TimeoutError, ConnectionError):
            await client.event("session.ended")


def _candidates(sdp: str) -> list[tuple[str, int]]:
    """The addresses of this machine in an answer."""
    found = re.findall(r"a=candidate:\S+ \d+ udp \d+ (\S+) (\d+) typ host", sdp, re.IGNORECASE)
    return sorted({(address, int(port)) for address, port in found if address.startswith("127.")}) or sorted(
        {(address, int(port)) for address, port in found if ":" not in address}
    )
