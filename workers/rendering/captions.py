"""Captions as files: SubRip and WebVTT. Cutting is in `cues`, drawing in `overlay`."""

from __future__ import annotations

from collections.abc import Iterable

from workers.rendering.cues import Cue, TimedWord, Utterance, build_cues
from workers.rendering.overlay import CaptionOverlay

__all__ = ["CaptionOverlay", "Cue", "TimedWord", "Utterance", "build_cues", "to_srt", "to_vtt"]


def to_srt(cues: Iterable[Cue]) -> str:
    """Return SubRip. It knows no escapes: an arrow, which would end the text, becomes another."""
    return "".join(
        f"{number}\n{_stamp(cue.start_ms, ',')} --> {_stamp(cue.end_ms, ',')}\n{_plain(cue)}\n\n"
        for number, cue in enumerate(cues, 1)
    )


def to_vtt(cues: Iterable[Cue]) -> str:
    """Return WebVTT (W3C), text escaped."""
    return "WEBVTT\n\n" + "".join(
        f"{number}\n{_stamp(cue.start_ms, '.')} --> {_stamp(cue.end_ms, '.')}\n{_escaped(cue)}\n\n"
        for number, cue in enumerate(cues, 1)
    )


def _plain(cue: Cue) -> str:
    return cue.text.replace("-->", "→")


def _escaped(cue: Cue) -> str:
    return cue.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _stamp(ms: int, mark: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{ms:03}"
