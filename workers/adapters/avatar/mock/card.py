"""The test card: how it is laid out, how it is drawn, how it is read back.

Everything is in fractions of the width W and height H, so that a scaled copy still reads.

    y 0.05-0.25   bar code, x 0.05-0.95: two rows of 16 cells
                  row 1: white, black, bits 23..12 of the frame number (white is 1), parity of
                         the row's even-placed bits, parity of its odd-placed bits
                  row 2: black, white, bits 11..0, the two parities
    y 0.30-0.55   the frame number in decimal digits, x 0.05-0.75
    y 0.60-0.75   timecode H:MM:SS:FF at 25 frames per second, x 0.05-0.75
    y 0.30-0.95   the mouth bar, x 0.80-0.95: black, white from the bottom up to the mouth level
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import FPS, I420
from workers.adapters.avatar.pictures import planes

BITS = 24
CELLS = 16
CODE = (0.05, 0.05, 0.95, 0.25)
NUMBER = (0.05, 0.30, 0.75, 0.55)
TIMECODE = (0.05, 0.60, 0.75, 0.75)
MOUTH = (0.80, 0.30, 0.95, 0.95)
PAPER, INK, WHITE = 96, 16, 235
Luma = NDArray[np.uint8]
Rows = tuple[tuple[int, ...], tuple[int, ...]]


class UnreadableCardError(ValueError):
    """The picture is not a test card, or too damaged to be read."""


def code_rows(number: int) -> Rows:
    """The 2 x 16 cells of a frame number, 1 for white."""
    bits = [number >> place & 1 for place in range(BITS - 1, -1, -1)]
    halves = bits[: BITS // 2], bits[BITS // 2 :]
    first, second = ((*half, sum(half[0::2]) & 1, sum(half[1::2]) & 1) for half in halves)
    return (1, 0, *first), (0, 1, *second)


def timecode(number: int) -> str:
    seconds, frame = divmod(number, FPS)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}:{frame:02}"


def blank(width: int, height: int) -> I420:
    """A card without its moving parts."""
    card = np.full((height * 3 // 2, width), 128, np.uint8)
    luma, blue, red = planes(card)
    luma[:], blue[:], red[:] = PAPER, 148, 116
    return card


def draw(card: I420, number: int, level: float) -> None:
    """Draw one frame over an earlier one; `level` is 0 to 1."""
    luma = planes(card)[0]
    _draw_code(_part(luma, CODE), code_rows(number % (1 << BITS)))
    _draw_text(_part(luma, NUMBER), str(number))
    _draw_text(_part(luma, TIMECODE), timecode(number))
    bar = _part(luma, MOUTH)
    bar[:] = INK
    filled = round(min(max(level, 0.0), 1.0) * len(bar))
    bar[len(bar) - filled :] = WHITE


def read_card(picture: NDArray[np.uint8]) -> tuple[int, float]:
    """Read (frame number, mouth level 0 to 1) from an I420 or a BGR picture.

    Survives H.264 at crf 28 and scaling. Raises `UnreadableCardError`.
    """
    luma = _luma(picture)
    white, bits = _threshold(luma), []
    for row, lead in zip(_cells(luma), ((True, False), (False, True)), strict=True):
        cells = row > white
        if (bool(cells[0]), bool(cells[1])) != lead:
            raise UnreadableCardError("no bar code where a test card has one")
        half = [int(cell) for cell in cells[2:-2]]
        if [sum(half[0::2]) & 1, sum(half[1::2]) & 1] != [int(cell) for cell in cells[-2:]]:
            raise UnreadableCardError("the bar code's parity is wrong")
        bits += half
    return int("".join(map(str, bits)), 2), _level(_part(luma, MOUTH), white)


def _draw_code(area: Luma, rows: Rows) -> None:
    down = np.linspace(0, area.shape[0], 3).round().astype(int)
    across = np.linspace(0, area.shape[1], CELLS + 1).round().astype(int)
    for line, row in enumerate(rows):
        for place, cell in enumerate(row):
            box = (slice(down[line], down[line + 1]), slice(across[place], across[place + 1]))
            area[box] = WHITE if cell else INK


def _draw_text(area: Luma, text: str) -> None:
    area[:] = PAPER
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 2)
    scale = min(area.shape[1] / (width + 4), area.shape[0] * 0.8 / height)
    place = (2, int(area.shape[0] * 0.9))
    cv2.putText(
        area, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, WHITE, max(1, round(scale * 2)), cv2.LINE_AA
    )


def _part(luma: Luma, box: tuple[float, float, float, float]) -> Luma:
    height, width = luma.shape
    left, top, right, bottom = box
    return luma[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]


def _luma(picture: NDArray[np.uint8]) -> Luma:
    if picture.ndim == 2:
        return planes(np.ascontiguousarray(picture))[0]
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def _cells(luma: Luma) -> NDArray[np.float64]:
    """The mean of the middle of each cell, shape (2, 16)."""
    area = _part(luma, CODE)
    found = np.zeros((2, CELLS))
    for line, place in np.ndindex(2, CELLS):
        y, x = (line + 0.5) / 2 * area.shape[0], (place + 0.5) / CELLS * area.shape[1]
        tall, wide = max(1, area.shape[0] // 10), max(1, area.shape[1] // CELLS // 5)
        found[line, place] = area[int(y) - tall : int(y) + tall + 1, int(x) - wide : int(x) + wide + 1].mean()
    return found


def _threshold(luma: Luma) -> float:
    """Half way between the black and the white that this copy of the card shows."""
    lead = _cells(luma)[:, :2]
    white, black = float((lead[0, 0] + lead[1, 1]) / 2), float((lead[0, 1] + lead[1, 0]) / 2)
    if white - black < 80:
        raise UnreadableCardError("no bar code where a test card has one")
    return (white + black) / 2


def _level(bar: Luma, white: float) -> float:
    inner = bar[:, bar.shape[1] // 4 : -(bar.shape[1] // 4) or None].mean(axis=1)
    return float((inner > white).mean())
