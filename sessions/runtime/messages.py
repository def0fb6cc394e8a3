"""What a client may say over its WebSocket: a table of types and their fields.

Checked where the socket is, so that nothing malformed travels on; handled where the session is.
"""

import json
from collections.abc import Callable
from typing import Any

from project.errors import InvalidInput

MAX_TEXT_BYTES = 64 * 1024
MAX_AUDIO_BYTES = 64 * 1024
MAX_SDP = 60_000
MAX_SPEECH = 5_000

Payload = dict[str, Any]
Check = Callable[[Any], bool]


def _text(limit: int) -> Check:
    return lambda value: (
        isinstance(value, str) and len(value.strip()) > 0 and len(value) <= limit and _storable(value)
    )


def _storable(text: str) -> bool:
    """Neither NUL, which PostgreSQL refuses, nor half a character, which is no UTF-8."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _candidate(value: Any) -> bool:
    """A candidate as browsers write it, or null at the end of them."""
    return value is None or (
        isinstance(value, dict) and len(value) <= 10 and isinstance(value.get("candidate"), str)
    )


def _name(value: Any) -> bool:
    """What a client calls its offer, if it calls it anything: the answer repeats it."""
    if isinstance(value, str):
        return len(value) <= 100 and _storable(value)
    return value is None or (isinstance(value, int) and abs(value) < 2**53)


# Fields that are not named here are ignored, so that newer clients can talk to older servers.
FIELDS: dict[str, dict[str, tuple[Check, str]]] = {
    "rtc.offer": {"sdp": (_text(MAX_SDP), "an SDP offer"), "id": (_name, "a short text or a number")},
    "rtc.candidate": {
        "candidate": (_candidate, "an ICE candidate or null"),
        "id": (_name, "what the offer was called"),
    },
    "rtc.restart": {},
    "user.text": {"text": (_text(MAX_SPEECH), f"1 to {MAX_SPEECH} characters of text")},
    "avatar.say": {"text": (_text(MAX_SPEECH), f"1 to {MAX_SPEECH} characters of text")},
    "avatar.interrupt": {},
    "mic.start": {},
    "mic.stop": {},
    "session.end": {},
    "ping": {},
}


def parse(text: str) -> tuple[str, Payload]:
    """Return type and fields of a message; raises InvalidInput with a code that says what is wrong."""
    if len(text) > MAX_TEXT_BYTES or len(text.encode()) > MAX_TEXT_BYTES:
        raise InvalidInput(f"A message may have {MAX_TEXT_BYTES} bytes.", code="message_too_large")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput("A message is a JSON object.", code="message_malformed") from None
    if not isinstance(content, dict) or not isinstance(content.get("type"), str):
        raise InvalidInput("A message is a JSON object with a type.", code="message_malformed")
    fields = FIELDS.get(content["type"])
    if fields is None:
        raise InvalidInput("There is no such type of message.", code="unknown_message")
    return content["type"], {name: _field(content, name, *rule) for name, rule in fields.items()}


def _field(content: Payload, name: str, check: Check, wanted: str) -> Any:
    value = content.get(name)
    if not check(value):
        raise InvalidInput(f"`{name}` has to be {wanted}.", code="invalid_field")
    return value


def check_audio(data: bytes) -> bytes:
    """Return sound that may be heard: whole samples, not too many; raises InvalidInput."""
    if len(data) > MAX_AUDIO_BYTES:
        raise InvalidInput(f"A piece of sound may have {MAX_AUDIO_BYTES} bytes.", code="audio_too_large")
    if len(data) % 2:
        raise InvalidInput("Sound is s16le: two bytes a sample.", code="audio_malformed")
    return data


class Allowance:
    """A bucket of tokens: `rate` a second, at most `burst` at once. Time is the caller's, in seconds."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = burst, now

    def take(self, amount: float, now: float) -> bool:
        """Take that many tokens if they are there."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < amount:
            return False
        self._left -= amount
        return True
