"""Reads query parameters that mean something, and refuses the others by name."""

from collections.abc import Collection, Mapping
from datetime import datetime

from django.utils.dateparse import parse_datetime

from project.errors import InvalidInput


def one_of(asked: Mapping[str, str], name: str, known: Collection[str]) -> list[str]:
    """Read values separated by commas. Raises `InvalidInput` for one that there is not."""
    values = [part for part in asked.get(name, "").split(",") if part]
    for value in values:
        if value not in known:
            raise InvalidInput(f"There is no {name} {value!r}.", code=f"invalid_{name}")
    return values


def moment(asked: Mapping[str, str], name: str) -> datetime | None:
    """Read a moment with its time zone. Raises `InvalidInput`."""
    raw = asked.get(name)
    if not raw:
        return None
    try:
        # A plus sign that was not escaped arrives as a space.
        found = parse_datetime(raw.replace(" ", "+"))
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidInput(f"{name} is a moment such as 2026-01-31T12:00:00Z.", code="invalid_moment")
    return found


def wants_download(asked: Mapping[str, str]) -> bool:
    """Say whether a file is to be saved instead of shown."""
    return asked.get("download", "0").lower() in ("1", "true")
