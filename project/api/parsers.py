"""JSON bodies, read so that nothing in them can upset what comes later."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from project.errors import InvalidInput

# Far from the interpreter's own limit, which the code after the parser would run into.
MAX_DEPTH = 100


class StrictJSONParser(BaseParser):
    """Reads UTF-8 JSON; refuses what databases and encoders choke on.

    That is NaN, infinite numbers (also as 1e999), whole numbers that no double reaches, NUL
    characters, halves of surrogate pairs, and nesting deeper than MAX_DEPTH. A name
    that stands twice in one object is refused too: readers differ in which one counts.
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
            value = json.loads(
                raw.decode("utf-8-sig"), parse_constant=_refuse_constant, object_pairs_hook=_object
            )
            check_text(value)
        except RecursionError as exc:
            raise ParseError("The JSON is nested too deeply.") from exc
        except ValueError as exc:
            raise ParseError(f"This is not JSON in UTF-8: {exc}") from exc
        return value


def check_text(value: Any, pointer: str = "", depth: int = 0) -> None:
    """Raise InvalidInput where a string or number of a JSON value cannot be stored."""
    if depth > MAX_DEPTH:
        top = "/".join(pointer.split("/")[:2])
        detail = f"This is nested deeper than {MAX_DEPTH} levels."
        raise InvalidInput(detail, code="nested_too_deeply", pointer=top)
    if isinstance(value, str):
        _check_string(value, pointer)
    elif isinstance(value, int | float):
        _check_number(value, pointer)
    elif isinstance(value, _Doubled):
        own = f"{pointer}/{_escaped(value.name)}"
        raise InvalidInput(f"{value.name!r} is given twice.", code="duplicate_name", pointer=own)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_string(name, pointer)
            check_text(inner, f"{pointer}/{_escaped(name)}", depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            check_text(inner, f"{pointer}/{index}", depth + 1)


class _Doubled(dict[str, Any]):
    """An object in which a name stands more than once."""

    name = ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    doubled = _Doubled(value)
    doubled.name = Counter(name for name, _ in pairs).most_common(1)[0][0]
    return doubled


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _check_number(number: float, pointer: str) -> None:
    try:
        fits = math.isfinite(number)
    except OverflowError:  # a whole number of more than 308 digits
        fits = False
    if not fits:
        raise InvalidInput("This number is too large.", code="invalid_number", pointer=pointer)


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
