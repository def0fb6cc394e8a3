"""What a transcription answered, from the places where providers put it."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from workers.adapters.stt.base import Segment, Transcript, joined
from workers.adapters.text import clean, parsed

PAUSE_MS = 600
"""Words with more silence between them belong to two segments."""
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{3})"
_CUE = re.compile(rf"{_TIME}\s*-->\s*{_TIME}[^\n]*\n(.*?)(?:\n\s*\n|\Z)", re.DOTALL)
_TAG = re.compile(r"<[^>\n]*>")


def transcript(body: bytes, kind: str, response_format: str) -> Transcript:
    """The text, and its segments where there are any; `ValueError` and the like for what is neither.

    JSON is read by its content type, whatever was asked for: some servers know one format only.
    """
    if kind != "application/json" and response_format in ("text", "srt", "vtt"):
        return _plain(body.decode("utf-8", "replace"))
    if kind.startswith("text/") and kind != "text/json":
        if kind == "text/html":
            raise ValueError
        return _plain(body.decode("utf-8", "replace"))
    return from_json(parsed(body))


def from_json(body: Any) -> Transcript:
    """Text from `text`, `sentence`, a chat answer, or the segments; `KeyError` where there is none."""
    if not isinstance(body, dict):
        raise TypeError
    segments = tuple(_segment(part) for part in body.get("segments") or ())
    segments = segments or _grouped(_word(part) for part in body.get("words") or ())
    if "error" in body and "text" not in body:
        raise KeyError
    text = body.get("text")
    if text is None:
        text = body.get("sentence")
    if text is None and body.get("choices"):
        text = chat_text(body)
    if text is None:
        if "text" not in body and "segments" not in body:
            raise KeyError
        text = joined(segment.text for segment in segments)
    return Transcript(clean(str(text)).strip(), segments)


def chat_text(body: Mapping[str, Any]) -> str:
    """The content of a chat answer: a text, or a list of parts with texts."""
    content = body["choices"][0]["message"]["content"]
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content)
    return str(content or "")


def _plain(text: str) -> Transcript:
    """Plain text, or the cues of SRT or WebVTT."""
    text = clean(text).replace("\r\n", "\n").lstrip("\ufeff")
    segments = []
    for *times, said in _CUE.findall(text):
        bare = " ".join(_TAG.sub("", said).split())
        segments.append(Segment(_ms(times[:4]), _ms(times[4:]), bare))
    if segments or text.startswith("WEBVTT"):
        return Transcript(joined(segment.text for segment in segments), tuple(segments))
    return Transcript(text.strip())


def _ms(parts: Iterable[str]) -> int:
    hours, minutes, seconds, ms = (int(part or 0) for part in parts)
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms


def _segment(part: Mapping[str, Any]) -> Segment:
    return Segment(*_times(part), clean(str(part["text"])).strip())


def _word(part: Mapping[str, Any]) -> Segment:
    return Segment(*_times(part), clean(str(part.get("word", part.get("text", "")))).strip())


def _times(part: Mapping[str, Any]) -> tuple[int, int]:
    start, end = float(part["start"]), float(part["end"])
    if not (math.isfinite(start) and math.isfinite(end)):
        raise ValueError
    return round(start * 1000), round(end * 1000)


def _grouped(words: Iterable[Segment]) -> tuple[Segment, ...]:
    """Segments out of words alone: one for each stretch without a pause."""
    groups: list[list[Segment]] = []
    for word in words:
        if groups and word.start_ms - groups[-1][-1].end_ms <= PAUSE_MS:
            groups[-1].append(word)
        else:
            groups.append([word])
    return tuple(
        Segment(group[0].start_ms, group[-1].end_ms, joined(word.text for word in group)) for group in groups
    )
