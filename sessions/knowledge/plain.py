"""Text of unknown encoding as text, and its paragraphs."""

import re
from collections.abc import Iterator

from sessions.knowledge.chunks import Block
from sessions.knowledge.errors import unreadable

MAX_CHARACTERS = 12_000_000
HEADING = 80

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# Tried in order after UTF-8, by what the persona speaks; whatever decodes without an error is taken.
_BY_LANGUAGE = {
    "ja": ("cp932", "euc_jp"),
    "zh": ("gb18030", "big5"),
    "ko": ("cp949",),
    "th": ("cp874",),
    "ru": ("cp1251",),
    "uk": ("cp1251",),
    "bg": ("cp1251",),
    "el": ("cp1253",),
    "he": ("cp1255",),
    "ar": ("cp1256",),
    "pl": ("cp1250",),
    "cs": ("cp1250",),
    "hu": ("cp1250",),
    "tr": ("cp1254",),
}
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ufeff\ufffe\uffff]|[\ud800-\udfff]")
# What text in another encoding looks like: half-width kana, private characters, unused controls.
_ODD = re.compile("[\uff61-\uff9f\ue000-\uf8ff\x80-\x9f]")
_BLANK = re.compile(r"\n[ \t\u3000]*\n+")
_ENDS = (".", "!", "?", ",", ";", ":", "。", "！", "？", "、", "…")


def decoded(data: bytes, language: str = "en") -> str:
    """Return text with `\\n` and without control characters. Raises `Unreadable`."""
    text = cleaned(_decoded(data, language))
    if len(text) > MAX_CHARACTERS:
        raise unreadable("document_too_large")
    if not text.strip():
        raise unreadable("document_empty")
    return text


def cleaned(text: str) -> str:
    """Text as databases take it."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n"))


def looks_binary(data: bytes) -> bool:
    """Say whether this is no text in any encoding that we know."""
    head = data[:8192]
    if any(head.startswith(bom) for bom, _ in _BOMS) or _wide(head):
        return False
    odd = sum(byte < 9 or (14 <= byte < 32 and byte != 27) for byte in head)
    return b"\0" in head or odd > len(head) // 50


def blocks(text: str) -> Iterator[Block]:
    """Paragraphs; a short line that stands alone and ends without a stop is a heading."""
    heading: tuple[str, ...] = ()
    waiting = ""
    for paragraph in _BLANK.split(text):
        told = "\n".join(" ".join(line.split()) for line in paragraph.split("\n")).strip()
        if not told:
            continue
        if len(told) <= HEADING and "\n" not in told and not told.endswith(_ENDS):
            if waiting:  # a list of short lines rather than headings
                yield Block(waiting, heading)
            waiting = told
            continue
        if waiting:
            heading, waiting = (waiting,), ""
        yield Block(told, heading)
    if waiting:
        yield Block(waiting, heading)


def _decoded(data: bytes, language: str) -> str:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data.decode(encoding, "replace")
    guesses = ["utf-8", *_BY_LANGUAGE.get(language.partition("-")[0].lower(), ()), "cp1252"]
    if wide := _wide(data[:8192]):
        guesses.insert(0, wide)
    best, fewest = "", len(data) + 1
    for encoding in guesses:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        odd = len(_ODD.findall(text))
        if not odd:
            return text
        if odd < fewest:
            best, fewest = text, odd
    return best or data.decode("latin-1")


def _wide(head: bytes) -> str:
    """UTF-16 without a mark: every other byte of Latin text is zero."""
    half = len(head) // 2
    if half < 4 or b"\0" not in head:
        return ""
    even, odd = head[0 : 2 * half : 2].count(0), head[1 : 2 * half : 2].count(0)
    if odd > 0.6 * half and even < 0.1 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.6 * half and odd < 0.1 * half else ""
