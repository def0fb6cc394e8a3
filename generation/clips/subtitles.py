"""The captions of a clip, from the times at which its words are heard."""

from collections.abc import Iterable

from generation.clips.models import Clip, ClipUtterance
from generation.clips.plan import SAMPLES_PER_FRAME, TIMELINE_RATE
from generation.clips.scene import Scene
from workers.adapters.tts.base import Word
from workers.rendering.captions import CaptionOverlay, Cue, Utterance, build_cues

PER_MS = TIMELINE_RATE // 1000
# Cues reach at most this far from the utterance that they belong to.
REACH_SAMPLES = 10 * TIMELINE_RATE


def all_cues(clip: Clip) -> list[Cue]:
    """Return the captions of the whole clip."""
    return _recorded(clip) or _spoken(ClipUtterance.objects.filter(clip=clip))


def overlay(clip: Clip, scene: Scene, start_frame: int, frames: int) -> CaptionOverlay | None:
    """Return what draws the captions of some frames into the picture, if that is wanted.

    Every utterance that begins in these frames is known when they are rendered, so neighbouring
    fragments agree on what is shown.
    """
    if clip.captions != "burned":
        return None
    start = start_frame * SAMPLES_PER_FRAME - REACH_SAMPLES
    end = (start_frame + frames) * SAMPLES_PER_FRAME
    near = ClipUtterance.objects.filter(clip=clip, start_sample__lt=end, start_sample__gte=start)
    before = ClipUtterance.objects.filter(clip=clip, start_sample__lt=start).order_by("-index")[:1]
    cues = _recorded(clip) or _spoken([*before, *near])
    return CaptionOverlay(cues, *scene.film)


def _recorded(clip: Clip) -> list[Cue]:
    """Captions of given sound: what was recognised in it."""
    return build_cues(Utterance(str(text), int(start), int(end)) for start, end, text in clip.cues)


def _spoken(rows: Iterable[ClipUtterance]) -> list[Cue]:
    return build_cues(_utterance(row) for row in rows if row.text)


def _utterance(row: ClipUtterance) -> Utterance:
    start = row.start_sample // PER_MS
    words = [Word(text, begin, end) for text, begin, end in row.timings.get("words", ())]
    heard_ms = words[-1].end_ms if words else row.samples // PER_MS
    return Utterance(row.text, start, start + heard_ms, words)
