"""Text that programs trip over, and ways to break text that was good."""

from collections.abc import Callable

from hypothesis import strategies as st

ODD = (
    *("", " ", "\0", "a\0b", "\ud800", "\udfff\ud800", "\ufeff", "\u202e", "\u200b", "\u2028", "￿"),
    *("e\u0301" * 50, "👩‍👩‍👧‍👦" * 20, "ﷺ" * 50, "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢", "مرحبا", "你好", "ﬀ", "İ", "ß"),
    *(
        "null",
        "undefined",
        "NaN",
        "true",
        "__proto__",
        "constructor",
        "../../etc/passwd",
        "%s%n",
        "{0}",
        "${7*7}",
    ),
    *("' OR 1=1 --", "<script>alert(1)</script>", "\r\nX: y", "a" * 300, "x" * 5_001, "-1", "1e999", "0x7f"),
)


def odd_text() -> st.SearchStrategy[str]:
    """Text of any kind, lone surrogates and control characters among it."""
    anything = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)
    return st.one_of(st.sampled_from(ODD), anything)


def broken_lines(text: str) -> st.SearchStrategy[str]:
    """A text of lines with some of them lost, doubled, moved, cut, or with other numbers in them."""
    lines = text.splitlines()
    change = st.tuples(
        st.sampled_from(sorted(CHANGES)), st.integers(0, len(lines) - 1), st.integers(0, 2**32), odd_text()
    )

    def changed(changes: list[tuple[str, int, int, str]]) -> str:
        now = list(lines)
        for kind, at, number, other in changes:
            if now:
                CHANGES[kind](now, at % len(now), number, other)
        return "\r\n".join(now) + "\r\n"

    return st.lists(change, min_size=1, max_size=6).map(changed)


Change = Callable[[list[str], int, int, str], None]


def _numbers(lines: list[str], at: int, number: int, other: str) -> None:
    digits = [
        index for index, character in enumerate(lines[at]) if character.isascii() and character.isdigit()
    ]
    if digits:
        index = digits[number % len(digits)]
        lines[at] = lines[at][:index] + str(number) + lines[at][index + 1 :]


def _cut(lines: list[str], at: int, number: int, other: str) -> None:
    lines[at] = lines[at][: number % (len(lines[at]) + 1)]


def _swap(lines: list[str], at: int, number: int, other: str) -> None:
    there = number % len(lines)
    lines[at], lines[there] = lines[there], lines[at]


def _value(lines: list[str], at: int, number: int, other: str) -> None:
    lines[at] = lines[at].partition(":")[0] + ":" + other


def _repeat(lines: list[str], at: int, number: int, other: str) -> None:
    lines[at:at] = [lines[at]] * (1 + number % 200)


def _lose(lines: list[str], at: int, number: int, other: str) -> None:
    del lines[at : at + 1 + number % 3]


def _insert(lines: list[str], at: int, number: int, other: str) -> None:
    lines.insert(at, other)


CHANGES: dict[str, Change] = {
    "numbers": _numbers,
    "cut": _cut,
    "swap": _swap,
    "value": _value,
    "repeat": _repeat,
    "lose": _lose,
    "insert": _insert,
}
