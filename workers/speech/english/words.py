"""Numbers as English words."""

from num2words import num2words

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_MAX_WORDS_DIGITS = 15


def cardinal(digits: str) -> str:
    """`1,250` or `3.14` or `-7` as words; digits one by one where a number would be no help."""
    sign, bare = ("minus ", digits[1:]) if digits[:1] in ("-", "−") else ("", digits)
    whole, _, fraction = bare.replace(",", "").partition(".")
    if len(whole) > _MAX_WORDS_DIGITS or (len(whole) > 1 and whole.startswith("0")):
        words = spelled(whole)
    else:
        words = _flat(num2words(int(whole or "0")))
    return sign + words + (f" point {spelled(fraction)}" if fraction else "")


def ordinal(number: int) -> str:
    return _flat(num2words(number, to="ordinal"))


def year(number: int) -> str:
    """`1999` as nineteen ninety-nine, `2005` as two thousand five, `2024` as twenty twenty-four."""
    if 2000 <= number < 2010 or number < 1000 or number % 1000 == 0:
        return _flat(num2words(number))
    century, rest = divmod(number, 100)
    if rest == 0:
        return f"{_flat(num2words(century))} hundred"
    tail = f"oh {num2words(rest)}" if rest < 10 else num2words(rest)
    return f"{_flat(num2words(century))} {tail}"


def decade(number: int) -> str:
    """`1990` as nineteen nineties."""
    words = year(number)
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def spelled(characters: str) -> str:
    """One after another: `007` as zero zero seven."""
    return " ".join(num2words(int(c)) if c.isdecimal() else c for c in characters)


def amount(digits: str, one: str, many: str) -> str:
    """A number with its unit: one mile, two miles."""
    return f"{cardinal(digits)} {one if digits.replace(',', '') in ('1', '-1') else many}"


def _flat(words: str) -> str:
    return words.replace(" and ", " ").replace(",", "")
