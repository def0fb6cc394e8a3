"""The captions of a clip, from the times at which its words are heard."""

from dataclasses import dataclass

from generation.clips.models import Clip, ClipUtterance


@dataclass(frozen=True, slots=True)
class Cue:
    start_ms: int
    end_ms: int
    text: str


def cues(clip: Clip) -> list[Cue]:
    if clip.cues:
        return [Cue(*cue) for cue in clip.cues]
    rows = ClipUtterance.objects.filter(clip=clip).exclude(text="").order_by("index")
    return [Cue(r.start_sample // 48, (r.start_sample + r.samples) // 48, r.text) for r in rows]


def srt(found: list[Cue]) -> bytes:
    blocks = [
        f"{n}\n{_time(c.start_ms, ',')} --> {_time(c.end_ms, ',')}\n{c.text}\n"
        for n, c in enumerate(found, 1)
    ]
    return "\n".join(blocks).encode()


def vtt(found: list[Cue]) -> bytes:
    blocks = [f"{_time(c.start_ms, '.')} --> {_time(c.end_ms, '.')}\n{c.text}\n" for c in found]
    return ("WEBVTT\n\n" + "\n".join(blocks)).encode()


def _time(ms: int, mark: str) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{mark}{ms % 1000:03}"
