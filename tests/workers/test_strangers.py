import logging

import pytest
from aiohttp.http_exceptions import BadHttpMessage
from django.core.exceptions import DisallowedHost

from workers.strangers import StrangersFilter


def record_of(error: Exception) -> logging.LogRecord:
    record = logging.LogRecord(
        "x", logging.ERROR, __file__, 1, "It went wrong", (), (type(error), error, None)
    )
    assert StrangersFilter().filter(record)
    return record


@pytest.mark.parametrize("error", [BadHttpMessage("Who knows"), DisallowedHost("evil.example")])
def test_a_request_that_was_none_is_one_line(error: Exception) -> None:
    assert record_of(error).exc_info is None


def test_what_is_wrong_here_keeps_its_traceback() -> None:
    assert record_of(ValueError("ours")).exc_info is not None


def test_a_record_without_an_error_stays_as_it_is() -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "Hello", (), None)
    assert StrangersFilter().filter(record)
