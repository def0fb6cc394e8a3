"""Lines of text in any script to a mask of their ink, with fonts that come with the install."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from importlib.resources import files
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, features

Mask = NDArray[np.uint8]

_RTL = "justmytype_intl_rtl", "fonts/ofl"
FONTS = {
    "latin": ("fontpkg_noto_sans", "files/NotoSans[wdth,wght].ttf"),
    "devanagari": ("fontpkg_noto_sans", "files/NotoSans[wdth,wght].ttf"),
    "thai": ("fontpkg_noto_sans_thai", "files/NotoSansThai[wdth,wght].ttf"),
    "arabic": (_RTL[0], f"{_RTL[1]}/notosansarabic/NotoSansArabic[wdth,wght].ttf"),
    "hebrew": (_RTL[0], f"{_RTL[1]}/notosanshebrew/NotoSansHebrew[wdth,wght].ttf"),
    "cjk": ("noto_cjk_sans_jp_regular", "NotoSansCJKjp-Regular.otf"),
}
WEIGHT = 600  # of the fonts that have weights: text over moving pictures
# First code points of what is not Latin, Greek or Cyrillic, with the font that has it.
_RANGES = (
    (0x0590, 0x05FF, "hebrew"),
    (0x0600, 0x08FF, "arabic"),
    (0x0900, 0x097F, "devanagari"),
    (0x0E00, 0x0E7F, "thai"),
    (0x1100, 0x11FF, "cjk"),
    (0x2E80, 0xD7FF, "cjk"),
    (0xF900, 0xFAFF, "cjk"),
    (0xFB1D, 0xFB4F, "hebrew"),
    (0xFB50, 0xFDFF, "arabic"),
    (0xFE30, 0xFE4F, "cjk"),
    (0xFE70, 0xFEFC, "arabic"),
    (0xFF00, 0xFFEF, "cjk"),
    (0x20000, 0x3FFFF, "cjk"),
)
SHAPES = features.check("raqm")


def typeset(text: str, size: int, *, language: str | None = None) -> Mask:
    """Draw one line: uint8 (height, width), 255 where there is ink, height the same for all texts.

    `size` is the height of an em in pixels. Bidirectional text is put in order, Arabic joined.
    Signs that no font here has (emoji) are left out. `language` (BCP 47) chooses between the
    Chinese, Japanese and Korean forms of a character.
    """
    runs = _runs(_drawable(text))
    if len({name for _, name in runs}) > 1 and _rtl(text):
        # The space after a word stands on its left in a line that runs to the left.
        runs = [(_space_first(part), name) for part, name in reversed(runs)]
    drawn = [_draw(part, name, size, language) for part, name in runs]
    return np.hstack(drawn) if drawn else np.zeros((line_height(size), 1), np.uint8)


def _space_first(part: str) -> str:
    if _rtl(part):
        return part
    word = part.rstrip()
    return " " * (len(part) - len(word)) + word


def line_height(size: int) -> int:
    return round(size * 1.4)


def _drawable(text: str) -> str:
    kept = (char for char in text if not (0x1F000 <= ord(char) < 0x20000 or char in "\ufe0e\ufe0f"))
    return " ".join("".join(kept).split())


def _runs(text: str) -> list[tuple[str, str]]:
    """Divide a line by font; marks, digits and spaces go with what stands before them.

    The CJK font has Latin letters that match it, so a line with CJK in it uses that font alone.
    """
    names = [_script(char) for char in text]
    if "cjk" in names and not set(names) - {"cjk", "latin", None}:
        return [(text, "cjk")]
    known = next((name for name in names if name), "latin")
    for at, name in enumerate(names):
        known = name or known
        names[at] = known
    pairs = zip(text, names, strict=True)
    return [
        ("".join(char for char, _ in run), name or "latin")
        for name, run in groupby(pairs, key=lambda pair: pair[1])
    ]


def _script(char: str) -> str | None:
    code = ord(char)
    for first, last, name in _RANGES:
        if first <= code <= last:
            return name
    return "latin" if char.isalpha() else None


def _rtl(text: str) -> bool:
    """Tell the direction of a line: that of its first letter (UAX 9, P2)."""
    for char in text:
        if (kind := unicodedata.bidirectional(char)) in {"L", "R", "AL"}:
            return kind != "L"
    return False


def _draw(text: str, name: str, size: int, language: str | None) -> Mask:
    font = _font(name, size)
    spoken = language if SHAPES else None
    length = max(1, round(font.getlength(text, language=spoken)))
    # Slanted and joined letters may reach over the ends of their run.
    image = Image.new("L", (length + 4, line_height(size)))
    ImageDraw.Draw(image).text((2, round(size * 1.08)), text, 255, font=font, anchor="ls", language=spoken)
    return np.asarray(image, np.uint8)


@lru_cache(maxsize=32)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    package, path = FONTS[name]
    font = ImageFont.truetype(str(files(package).joinpath(path)), size)
    if path.endswith("[wdth,wght].ttf"):
        axes = {axis["name"]: axis["default"] for axis in font.get_variation_axes()}
        font.set_variation_by_axes(
            [WEIGHT if b"eight" in key else float(value or 0) for key, value in axes.items()]
        )
    return font
