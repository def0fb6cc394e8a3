"""What lips do for each speech sound, by its IPA symbol."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import FPS, Phone

Floats = NDArray[np.float64]
FRAME_MS = 1000 / FPS
OPEN = 9.0  # no limit
NEARLY = 0.12  # lower lip at the upper teeth

CLOSED = frozenset("mbpɓ")
LABIODENTAL = frozenset("fvɱʋ")
# symbol: (opening 0 to 1, width -1 to 1)
VOWELS = {
    **dict.fromkeys("aɑæɐ", (1.0, 0.25)),
    **dict.fromkeys("ɒʌ", (0.85, 0.0)),
    **dict.fromkeys("eɛ", (0.70, 0.60)),
    **dict.fromkeys("əɜɚɝɘ", (0.55, 0.05)),
    **dict.fromkeys("iɪɨ", (0.35, 0.95)),
    **dict.fromkeys("ɔo", (0.65, -0.65)),
    **dict.fromkeys("uʊɯʉ", (0.30, -1.0)),
    **dict.fromkeys("yʏøœ", (0.35, -0.85)),
}
CONSONANTS = {
    **dict.fromkeys("wʍ", (0.18, -1.0)),
    **dict.fromkeys("szʂʐɕʑ", (0.15, 0.45)),
    **dict.fromkeys("ʃʒ", (0.25, -0.60)),
    **dict.fromkeys("tdnlɾɫ", (0.30, 0.15)),
    **dict.fromkeys("θð", (0.25, 0.15)),
    **dict.fromkeys("kɡgŋxɣqχhɦʔçj", (0.35, 0.10)),
    **dict.fromkeys("ɹrʁʀɻ", (0.30, -0.30)),
}


@dataclass(frozen=True, slots=True)
class Cues:
    """Per frame: how much is known, the opening and width the sounds want, and what they allow at most."""

    weight: Floats
    opening: Floats
    width: Floats
    limit: Floats


def cues_of(phones: Sequence[Phone], first_frame: int, frames: int) -> Cues:
    """Sample timed phones at frames `first_frame` and on; frame 0 begins at 0 ms."""
    weight, opening, width = np.zeros(frames), np.zeros(frames), np.zeros(frames)
    limit = np.full(frames, OPEN)
    starts = (np.arange(frames, dtype=np.float64) + first_frame) * FRAME_MS
    for phone in phones:
        wanted = lips_of(phone.symbol)
        if wanted is None or phone.end_ms <= phone.start_ms:
            continue
        covered = np.minimum(starts + FRAME_MS, phone.end_ms) - np.maximum(starts, phone.start_ms)
        share = np.clip(covered / FRAME_MS, 0, 1)
        weight += share
        opening += share * wanted[0]
        width += share * wanted[1]
        _limit(limit, phone, starts)
    known = np.maximum(weight, 1e-9)
    return Cues(np.clip(weight, 0, 1), opening / known, width / known, limit)


def lips_of(symbol: str) -> tuple[float, float] | None:
    """(opening, width) of a sound; None for pauses, stress marks and what is not known."""
    for letter in symbol:
        if letter in CLOSED:
            return 0.0, 0.0
        if letter in LABIODENTAL:
            return 0.08, 0.25
        found = VOWELS.get(letter) or CONSONANTS.get(letter)
        if found:
            return found
    return None


def _limit(limit: Floats, phone: Phone, starts: Floats) -> None:
    """Hold the lips together, or nearly so, in the frame that shows the middle of the sound.

    However short the sound is, the closure must be seen. One frame is enough: held for longer, the
    mouth would rest in the middle of loud nasals.
    """
    at_most = 0.0 if phone.symbol[:1] in CLOSED else NEARLY if phone.symbol[:1] in LABIODENTAL else OPEN
    middle = (phone.start_ms + phone.end_ms) / 2
    held = (starts <= middle) & (middle < starts + FRAME_MS)
    limit[held] = np.minimum(limit[held], at_most)
