"""From the options of a provider's file to what an adapter works with."""

from collections.abc import Mapping
from typing import Any, TypeVar

from workers.adapters.endpoint import Deadlines

T = TypeVar("T")


def made(dialect: type[T], options: Mapping[str, Any]) -> T:
    """A dialect out of a file's options; unknown ones are a mistake in it and raise `TypeError`.

    `deadlines` stand there as a table of seconds.
    """
    given = dict(options)
    if isinstance(given.get("deadlines"), Mapping):
        given["deadlines"] = Deadlines(**given["deadlines"])
    return dialect(**given)
