"""Reading what a client asks for. Everything is checked before anything is spoken."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from workers.speechd import turnstile
from workers.speechd.catalogue import VOICES
from workers.speechd.problems import Refused, bad

MAX_CHARACTERS = 8_000
MAX_JSON_BYTES = 64 * 1024
SPEEDS = (0.25, 4.0)
FORMATS = ("pcm", "wav")
PRIORITIES = {"live": turnstile.LIVE, "batch": turnstile.BATCH}


@dataclass(frozen=True, slots=True)
class SpeechWish:
    text: str
    voice: str
    format: str
    speed: float
    priority: int
    events: bool


def speech_wish(body: Any) -> SpeechWish:
    """A checked request for speech; raises `Refused`."""
    if not isinstance(body, dict):
        raise bad("invalid_json", "The body is not a JSON object.")
    fields = cast("Mapping[str, Any]", body)
    return SpeechWish(
        text=_text(fields.get("input")),
        voice=_voice(fields.get("voice")),
        format=_choice(fields, "response_format", FORMATS, "wav"),
        speed=_speed(fields.get("speed", 1.0)),
        priority=PRIORITIES[_choice(fields, "priority", tuple(PRIORITIES), "live")],
        events=_choice(fields, "stream_format", ("audio", "sse"), "audio") == "sse",
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise bad("input_empty", "There is nothing to say.", "input")
    if len(value) > MAX_CHARACTERS:
        raise bad("input_too_long", f"Say at most {MAX_CHARACTERS} characters at a time.", "input")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise bad("input_invalid", "The text is not valid Unicode.", "input")
    return value


def _voice(value: Any) -> str:
    if not isinstance(value, str) or value not in VOICES:
        raise Refused(404, "voice_not_found", "There is no such voice.", param="voice")
    return value


def _speed(value: Any) -> float:
    low, high = SPEEDS
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:
        raise bad("speed_invalid", f"The speed is a number from {low} to {high}.", "speed")
    return float(value)


def _choice(fields: Mapping[str, Any], name: str, choices: tuple[str, ...], default: str) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str) or value not in choices:
        raise bad(f"{name}_invalid", f"{name} is one of {', '.join(choices)}.", name)
    return value
