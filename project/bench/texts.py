"""How figures and names are written."""

import re


def shown(value: float) -> str:
    """A figure with as many places as anybody reads.

    >>> shown(1234.5), shown(12.34), shown(1.234), shown(0.01234), shown(0)
    ('1234', '12.3', '1.23', '0.012', '0')
    """
    if value == 0:
        return "0"
    size = abs(value)
    places = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def file_name(told: str) -> str:
    """A name for a file that says the same.

    >>> file_name("Queue depth, batch.mock")
    'queue-depth-batch-mock'
    """
    return re.sub(r"[^a-z0-9]+", "-", told.lower()).strip("-") or "plot"


def cell(told: object) -> str:
    """Text that stays within one cell of a Markdown table.

    >>> cell("a|b\\nc")
    'a\\\\|b c'
    """
    return " ".join(str(told).replace("|", "\\|").split())


def table(columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(map(cell, columns)) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(map(cell, row)) + " |" for row in rows)])
