"""JSON bodies, read so that nothing in them can upset what comes later."""

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from project.errors import InvalidInput


class StrictJSONParser(BaseParser):
    """Reads UTF-8 JSON; refuses what databases and encoders choke on.

    That is NaN, infinite numbers (also as 1e999), NUL characters, halves of surrogate pairs, and
    nesting deeper than the interpreter's stack.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,  # noqa: ARG002 - DRF's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        raw = stream.read()
        try:
            value = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant)
            check_text(value)
        except RecursionError as exc:
            raise ParseError("The JSON is nested too deeply.") from exc
        except ValueError as exc:
            raise ParseError(f"This is not JSON in UTF-8: {exc}") from exc
        return value


def check_text(value: Any, pointer: str = "") -> None:
    """Raise InvalidInput where a string or number of a JSON value cannot be stored."""
    if isinstance(value, str):
        _check_string(value, pointer)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput("This number is too large.", code="invalid_number", pointer=pointer)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_string(name, pointer)
            check_text(inner, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            check_text(inner, f"{pointer}/{index}")


def _check_string(text: str, pointer: str) -> None:
    if "\x00" in text:
        raise InvalidInput("NUL characters cannot be stored.", code="invalid_text", pointer=pointer)
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidInput(
            "Half a surrogate pair is not text.", code="invalid_text", pointer=pointer
        ) from exc


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")
