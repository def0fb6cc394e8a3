"""What the avatar says when a part failed, spoken ahead of time so that it needs no provider then."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

from workers.adapters.errors import AdapterError
from workers.speech.script import sentences
from workers.speech.speak import Utterance, speak_all_live

if TYPE_CHECKING:
    from workers.adapters.tts.base import Synthesizer
    from workers.speech.voices import Voice

KEPT = 16
SECONDS = 30.0
_DEFAULT = "Sorry, something went wrong on my side. Please try again."
_TRANSLATED = {
    "ja": "申し訳ありません。問題が発生しました。もう一度お試しください。",
    "zh": "抱歉，我这边出了点问题。请再试一次。",  # noqa: RUF001
    "de": "Entschuldigung, bei mir ist etwas schiefgegangen. Bitte versuchen Sie es noch einmal.",
    "fr": "Désolé, un problème est survenu. Veuillez réessayer.",
    "es": "Lo siento, algo ha fallado. Por favor, inténtelo de nuevo.",
}
_log = logging.getLogger(__name__)

_kept: OrderedDict[tuple[str, str], tuple[Utterance, ...]] = OrderedDict()
"""Shared by the sessions of a process: a few seconds of sound for each voice and text."""


def apology(text: str, language: str) -> str:
    """The persona's own words, or ours in its language."""
    return text.strip() or _TRANSLATED.get(language.partition("-")[0].lower(), _DEFAULT)


def prepared(text: str, voice: Voice) -> tuple[Utterance, ...]:
    """The apology as sound; empty when there was no chance to prepare it."""
    return _kept.get((voice.id, text), ())


async def prepare(text: str, voice: Voice, synthesizer: Synthesizer) -> None:
    """Have an apology spoken, once for each voice of the process; also opens the connection to it."""
    key = (voice.id, text)
    if key in _kept:
        _kept.move_to_end(key)
        return
    try:
        async with asyncio.timeout(SECONDS):
            spoken = [u async for u in speak_all_live(synthesizer, sentences(text, voice.language), voice)]
    except (AdapterError, TimeoutError) as exc:
        _log.warning("The apology of %s could not be prepared: %s", voice.id, type(exc).__name__)
        return
    _kept[key] = tuple(spoken)
    while len(_kept) > KEPT:
        _kept.popitem(last=False)
