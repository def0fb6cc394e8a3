"""What is refused while a body is read, and what gets through."""

import json
from io import BytesIO
from typing import Any

import pytest
from rest_framework.exceptions import ParseError

from project.api.parsers import MAX_DEPTH, StrictJSONParser, check_text
from project.errors import InvalidInput


def parse(text: str) -> Any:
    return StrictJSONParser().parse(BytesIO(text.encode()))


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def refusal(text: str) -> tuple[str, str | None]:
    with pytest.raises(InvalidInput) as caught:
        parse(text)
    return caught.value.code, caught.value.pointer


def test_decent_json_gets_through_as_it_is() -> None:
    value = {"a": [1, 2.5, -(10**18), None, True], "b": {"a": "مرحبا 🎉"}}
    assert parse(json.dumps(value)) == value
    assert parse("\ufeff{}") == {}


@pytest.mark.parametrize("digits", [309, 400, 4000])
def test_a_whole_number_that_no_double_reaches_is_refused(digits: int) -> None:
    assert refusal('{"a": [0, %s]}' % ("9" * digits)) == ("invalid_number", "/a/1")
    assert refusal('{"a": -%s}' % ("9" * digits)) == ("invalid_number", "/a")


def test_a_name_that_stands_twice_is_named() -> None:
    assert refusal('{"a": 1, "b": 2, "b": 2}') == ("duplicate_name", "/b")
    assert refusal('{"a": [{"x/y": 1, "x/y": 2}]}') == ("duplicate_name", "/a/0/x~1y")


def test_depth_has_a_limit_of_our_own() -> None:
    assert parse(nested(MAX_DEPTH)) == json.loads(nested(MAX_DEPTH))
    assert refusal(f'{{"m": {nested(MAX_DEPTH)}}}') == ("nested_too_deeply", "/m")
    with pytest.raises(ParseError):
        parse("[" * 100_000)
    with pytest.raises(InvalidInput):  # also for values that come in a form's field
        check_text({"m": json.loads(nested(300))})
