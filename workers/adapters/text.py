"""Text of providers, without what neither a database nor a socket takes.

JSON can hold NUL and halves of surrogate pairs; PostgreSQL refuses the one, UTF-8 the other.
"""

import json
from typing import Any

_HIGH = ("\ud800", "\udbff")


def clean(text: str) -> str:
    """Return a text without NUL and lone surrogates; two halves that meet become their character."""
    if text.isascii():
        return text.replace("\0", "")
    whole = text.replace("\0", "").encode("utf-16-le", "surrogatepass")
    return whole.decode("utf-16-le", "ignore")


def clean_all(told: Any) -> Any:
    """What JSON gave, with all its texts cleaned, the names of fields too."""
    if isinstance(told, str):
        return clean(told)
    if isinstance(told, dict):
        return {clean(str(name)): clean_all(part) for name, part in told.items()}
    return [clean_all(part) for part in told] if isinstance(told, list) else told


def parsed(body: str | bytes) -> Any:
    """What JSON says; `ValueError` for what is none, nested too deep to be read, or no Unicode.

    Numbers that are none, such as `Infinity`, are None.
    """
    try:
        return json.loads(body, parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("nested too deep") from None


class Cleaner:
    """Cleans a text that comes in pieces. A character may be cut in two between them."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """Return what can be said of it so far; a half at the end waits for the other one."""
        text, self._half = self._half + piece, ""
        if text and _HIGH[0] <= text[-1] <= _HIGH[1]:
            text, self._half = text[:-1], text[-1]
        return clean(text)
