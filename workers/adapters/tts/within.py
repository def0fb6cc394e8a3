"""Text in parts that a provider takes at a time, cut where a speaker would pause."""

import re
from collections.abc import Callable, Iterator

_PAUSES = (
    re.compile(r"\n+"),
    re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])"),  # noqa: RUF001 - full-width marks
    re.compile(r"(?<=[;:—])\s+|(?<=[；：])"),  # noqa: RUF001
    re.compile(r"(?<=,)\s+|(?<=[，、])"),  # noqa: RUF001
    re.compile(r"\s+"),
)
"""Where to cut, the best places first."""


def within(text: str, limit: int, measure: Callable[[str], int] = len) -> Iterator[str]:
    """Parts of a text that measure `limit` at most, as few as can be; 0 is no limit.

    Cut at the end of a paragraph or sentence if that leaves at least a third of what fits, else at
    the next lesser pause, and only in the middle of a word where there is none at all.
    """
    text = text.strip()
    while limit and measure(text) > limit:
        fits = _fitting(text, limit, measure)
        cut = next((at for pause in _PAUSES if (at := _last(pause, text, fits)) > fits // 3), fits)
        yield text[:cut].strip()
        text = text[cut:].strip()
    if text:
        yield text


def _fitting(text: str, limit: int, measure: Callable[[str], int]) -> int:
    """How many characters from the start are within the limit; one at least, so that it goes on."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(text[:middle]) <= limit else (low, middle - 1)
    return low


def _last(pause: re.Pattern[str], text: str, fits: int) -> int:
    """Where the last such pause of what fits begins; 0 for none. One character more shows its end."""
    found = [match.start() for match in pause.finditer(text, 0, min(fits + 1, len(text)))]
    return max((at for at in found if at <= fits), default=0)
