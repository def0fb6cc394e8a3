"""The rules, in the order in which they are tried. What one has rewritten no later one touches."""

import re

from workers.speech.english import tables, words
from workers.speech.spans import Change, Span

_SCALE = r"thousand|million|billion|trillion"
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SIGNED = rf"(?:(?<![\w.,)\d])[-−])?(?:{_NUMBER})"
_MONTH = (
    "("
    + "|".join(f"{month}|{month[:3]}" + ("|Sept" if month == "September" else "") for month in words.MONTHS)
    + r")\b\.?"
)
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_FRACTIONS = {
    2: "half",
    3: "third",
    4: "quarter",
    5: "fifth",
    6: "sixth",
    7: "seventh",
    8: "eighth",
    10: "tenth",
}


def _span(match: re.Match[str], said: str) -> Span:
    return Span(match.group(), said)


def _any(keys: object) -> str:
    return "|".join(re.escape(key) for key in sorted(keys, key=len, reverse=True))  # type: ignore[call-overload]


def _host(text: str) -> str:
    """`www.example.com/docs` as `example dot com slash docs`."""
    said = re.sub(r"^(?:https?://)?(?:www\.)?", "", text.rstrip("/"), flags=re.IGNORECASE)
    said = re.split(r"[?#]", said)[0]
    for symbol, name in (
        (".", "dot"),
        ("/", "slash"),
        ("-", "dash"),
        ("_", "underscore"),
        ("@", "at"),
        ("+", "plus"),
    ):
        said = said.replace(symbol, f" {name} ")
    return re.sub(r"(\d+)", lambda m: f" {words.cardinal(m[1])} ", said).strip()


def _address(match: re.Match[str]) -> Span:
    return _span(match, re.sub(r"\s+", " ", _host(match.group())))


def _iso_date(match: re.Match[str]) -> Span | None:
    return _date(match, int(match[1]), int(match[2]), int(match[3]))


def _us_date(match: re.Match[str]) -> Span | None:
    year = int(match[3]) if len(match[3]) == 4 else 2000 + int(match[3]) - (100 if int(match[3]) > 50 else 0)
    first, second = int(match[1]), int(match[2])
    return _date(match, year, second, first) if first > 12 else _date(match, year, first, second)


def _date(match: re.Match[str], year: int, month: int, day: int) -> Span | None:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return _span(match, f"{words.MONTHS[month - 1]} {words.ordinal(day)}, {words.year(year)}")


def _month_day(match: re.Match[str]) -> Span | None:
    day = int(match[2])
    if not 1 <= day <= 31:
        return None
    year = f", {words.year(int(match[3]))}" if match[3] else ""
    return _span(match, f"{_month(match[1])} {words.ordinal(day)}{year}")


def _day_month(match: re.Match[str]) -> Span | None:
    day = int(match[1])
    if not 1 <= day <= 31:
        return None
    year = f", {words.year(int(match[3]))}" if match[3] else ""
    return _span(match, f"the {words.ordinal(day)} of {_month(match[2])}{year}")


def _month(name: str) -> str:
    return next(month for month in words.MONTHS if month.startswith(name[:3].capitalize()))


def _time(match: re.Match[str]) -> Span | None:
    hour, minute = int(match[1]), int(match[2] or 0)
    if hour > 24 or minute > 59:
        return None
    half = (match[3] or "").lower().replace(".", "")
    said = words.cardinal(match[1].lstrip("0") or "0")
    if minute:
        said += f" oh {words.cardinal(str(minute))}" if minute < 10 else f" {words.cardinal(str(minute))}"
    elif not half:
        said += " o'clock" if hour <= 12 else " hundred"
    return _span(match, said + (f" {half[0].upper()} M" if half else ""))


def _money(match: re.Match[str]) -> Span:
    symbol, digits, scale = match[1], match[2], match[3]
    return _span(match, _amount(tables.CURRENCIES[symbol.upper()], digits, scale))


def _money_after(match: re.Match[str]) -> Span:
    return _span(match, _amount(tables.CURRENCIES[match[3].upper()], match[1], match[2]))


def _amount(names: tuple[str, str, str, str], digits: str, scale: str | None) -> str:
    one, many, minor_one, minor_many = names
    if scale:
        return f"{words.cardinal(digits)} {tables.SCALES.get(scale.lower(), scale.lower())} {many}"
    whole, _, minor = digits.partition(".")
    if len(minor) != 2 or not minor_one:
        return words.amount(digits, one, many)
    cents = words.amount(str(int(minor)), minor_one, minor_many) if int(minor) else ""
    if whole == "0" and cents:
        return cents
    return words.amount(whole, one, many) + (f" and {cents}" if cents else "")


def _unit(match: re.Match[str]) -> Span:
    return _span(match, words.amount(match[1], *tables.UNITS[match[2]]))


def _range(match: re.Match[str]) -> Span:
    unit = tables.UNITS[match[3]][1] if match[3] else ""
    return _span(match, f"{words.cardinal(match[1])} to {words.cardinal(match[2])} {unit}".strip())


def _fraction(match: re.Match[str]) -> Span | None:
    top, bottom = int(match[1]), int(match[2])
    name = _FRACTIONS.get(bottom)
    if name is None or not 0 < top < bottom:
        return None
    many = "halves" if name == "half" else name + "s"
    return _span(match, f"{words.cardinal(match[1])} {name if top == 1 else many}")


def _year(match: re.Match[str]) -> Span:
    return _span(match, words.year(int(match.group())))


def _decade(match: re.Match[str]) -> Span:
    return _span(match, words.decade(int(match[1])))


def _ordinal(match: re.Match[str]) -> Span:
    return _span(match, words.ordinal(int(match[1].replace(",", ""))))


def _version(match: re.Match[str]) -> Span:
    parts = " point ".join(words.cardinal(part) for part in match[2].split("."))
    return _span(match, f"{'version ' if match[1] else ''}{parts}")


def _phone(match: re.Match[str]) -> Span:
    plus = "plus " if match.group().startswith("+") else ""
    groups = re.findall(r"\d+", match.group())
    return _span(match, plus + ", ".join(words.spelled(group) for group in groups))


def _roman(match: re.Match[str]) -> Span | None:
    values = [_ROMAN[letter] for letter in match[2]]
    total = sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))
    return Span(match.group(), f"{match[1]} {words.cardinal(str(total))}") if total < 100 else None


def _monarch(match: re.Match[str]) -> Span:
    values = [_ROMAN[letter] for letter in match[2]]
    total = sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))
    return Span(match.group(), f"{match[1]} the {words.ordinal(total)}")


def _abbreviation(match: re.Match[str]) -> Span:
    return _span(match, tables.ABBREVIATIONS[match.group().lower()])


def _saint_or_street(match: re.Match[str]) -> Span:
    return _span(match, "Saint" if re.match(r"\s+[A-Z]", match.string[match.end() :]) else "Street")


def _name(match: re.Match[str]) -> Span:
    return _span(match, tables.NAMES[match.group().lower()])


def _symbol(match: re.Match[str]) -> Span:
    return _span(match, f" {tables.SYMBOLS[match.group()]} ")


def _pair(between: str) -> Change:
    """Two numbers with a sign between them: 512x640, 50/50."""
    return lambda m: _span(m, f"{words.cardinal(m[1])}{between}{words.cardinal(m[2])}")


def _plain_number(match: re.Match[str]) -> Span:
    """A number, with space where letters touch it: MP4, 1080p."""
    before = match.string[: match.start()][-1:]
    after = match.string[match.end() :][:1]
    said = words.cardinal(match.group())
    return _span(match, (" " if before.isalpha() else "") + said + (" " if after.isalpha() else ""))


def _rule(pattern: str, change: Change, flags: int = 0) -> tuple[re.Pattern[str], Change]:
    return re.compile(pattern, flags), change


RULES: list[tuple[re.Pattern[str], Change]] = [
    _rule(r"(?<![\w@])[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+", _address),
    _rule(r"(?:https?://|www\.)[^\s<>\"')\]]+[^\s<>\"')\].,;:!?]", _address, re.IGNORECASE),
    _rule(
        r"(?<![\w@.])(?:[a-z0-9][a-z0-9-]{0,62}\.){1,4}(?:com|org|net|io|ai|dev|edu|gov|co\.uk)(?:/[\w./-]*[\w/])?(?![\w.])",
        _address,
        re.IGNORECASE,
    ),
    _rule(r"(?<![\d-])(\d{4})-(\d{2})-(\d{2})(?![\d-])", _iso_date),
    _rule(r"(?<![\d/])(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})(?![\d/])", _us_date),
    _rule(rf"\b{_MONTH}\s+(\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(\d{{4}}))?(?![\d:,]\d|\d|%)", _month_day),
    _rule(
        rf"\b(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+(\d{{4}})(?!\d))?", _day_month
    ),
    _rule(r"(?<![\d:])(\d{1,2}):(\d{2})(?:\s?([AaPp]\.?[Mm])\b\.?)?(?![\d:])", _time),
    _rule(r"(?<![\d:.,])(\d{1,2})()\s?([AaPp]\.?[Mm])\b\.?(?!\w)", _time),
    _rule(r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\)[ .-]?|\d{3}[.-])\d{3}[ .-]\d{4}(?![\w.-]\d)", _phone),
    _rule(r"\+\d{1,3}(?:[ -]\d{2,5}){2,5}", _phone),
    _rule(
        rf"({_any(k for k in tables.CURRENCIES)})\s?({_NUMBER})"
        rf"(?:\s?({_SCALE}|bn|mn|tn|[kKmMbB])\b)?",
        _money,
    ),
    _rule(
        rf"(?<![\w.])({_NUMBER})\s?({_SCALE})?\s?"
        rf"({_any(k for k in tables.CURRENCIES if k != 'US$')})(?!\w)",
        _money_after,
    ),
    _rule(r"(?<![\w.-])(v)(\d+(?:\.\d+)+)(?![\w])", _version, re.IGNORECASE),
    _rule(r"(?<![\w.-])()(\d+(?:\.\d+){2,})(?![\w])", _version),
    _rule(
        rf"(?<![\w.-])({_NUMBER})\s?[-–—]\s?({_NUMBER})"
        rf"(?:\s?({_any(tables.UNITS)})(?!\w))?(?![\w-])",
        _range,
    ),
    _rule(rf"({_SIGNED})\s?({_any(tables.UNITS)})(?![\w/])", _unit),
    _rule(r"(?<![\w./])(\d{1,2})/(\d{1,2})(?![\w./])", _fraction),
    _rule(r"(?<![\w,.])((?:1[1-9]|20)\d0)s\b", _decade),
    _rule(r"(?<![\w.-])(\d{1,3}(?:,\d{3})*|\d{1,9})(?:st|nd|rd|th)\b", _ordinal),
    _rule(r"(?<![\w.,$€£:/-])(?:19|20)\d{2}(?![\w,.:/]\d|[\w%])", _year),
    _rule(r"\b(?<=in )1[0-8]\d{2}(?![\w,.]\d|[\w%])", _year),
    _rule(rf"\b({tables.ROMAN_AFTER})\s+([IVXLC]+)\b", _roman, re.IGNORECASE),
    _rule(
        r"\b(Henry|Louis|Charles|Edward|George|Elizabeth|William|Richard|James|Philip|Pope \w+)"
        r"\s+([IVX]{2,}|[VX])\b",
        _monarch,
    ),
    _rule(r"(?<![\w.])(?:No|Nos)\.\s?(?=\d)", lambda m: _span(m, "number ")),
    _rule(r"(?<![\w&])#(?=\d)", lambda m: _span(m, "number ")),
    _rule(r"(?<![\w])#(?=[A-Za-z])", lambda m: _span(m, "hashtag ")),
    _rule(r"\bSt\.", _saint_or_street),
    _rule(rf"(?<![\w.])(?:{_any(tables.NAMES)})(?![\w+#])", _name, re.IGNORECASE),
    _rule(rf"(?<![\w.])(?:{_any(tables.ABBREVIATIONS)})(?!\w)", _abbreviation, re.IGNORECASE),
    _rule(r"(?<![\w.])(\d+)\s?[x×]\s?(\d+)(?!\w)", _pair(" by ")),
    _rule(r"(?<![\w./])(\d+)/(\d+)(?![\w/])", _pair(" ")),
    _rule(_SIGNED, _plain_number),
    _rule(r"(?<=[A-Za-z])/(?=[A-Za-z])", lambda m: _span(m, " slash ")),
    _rule(f"[{re.escape(''.join(tables.SYMBOLS))}]", _symbol),
]
