"""What was said in a session, with the times at which it was heard."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sessions import presenter
from sessions.models import Session, Speaker, Turn
from workers.rendering.cues import Cue, Utterance, build_cues

INTERRUPTED = "(interrupted)"
# A turn without a length of its own, such as a typed one, is shown for so long.
TYPED_MS = 2000


@dataclass(frozen=True, slots=True)
class Word:
    """A word and when it is heard, in ms from the start of its utterance."""

    text: str
    start_ms: int
    end_ms: int


def transcript(session: Session) -> list[dict[str, Any]]:
    """Return the turns of a session in order."""
    return [presenter.turn(row) for row in Turn.objects.filter(session=session)]


def to_vtt(session: Session) -> str:
    """Return the transcript as WebVTT: each speaker by name, on the session's timeline."""
    names = {Speaker.USER.value: "Customer", Speaker.AVATAR.value: session.avatar.name}
    cues = [(cue, names[row.who]) for row in Turn.objects.filter(session=session) for cue in _cues(row)]
    cues.sort(key=lambda found: (found[0].start_ms, found[0].end_ms))
    return "WEBVTT\n\n" + "".join(_block(number, cue, who) for number, (cue, who) in enumerate(cues, 1))


def escape(text: str) -> str:
    """Write text so that no player takes any of it for a tag, an entity or an arrow.

    >>> escape("a <b> & --> c")
    'a &lt;b&gt; &amp; --&gt; c'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _block(number: int, cue: Cue, who: str) -> str:
    times = f"{_stamp(cue.start_ms)} --> {_stamp(cue.end_ms)}"
    return f"{number}\n{times}\n<v {_name(who)}>{escape(cue.text)}</v>\n\n"


def _cues(turn: Turn) -> list[Cue]:
    spoken = [each for each in _utterances(turn) if each.text.strip()]
    if turn.interrupted and spoken:
        last = spoken[-1]
        spoken[-1] = Utterance(f"{last.text.rstrip()} {INTERRUPTED}", last.start_ms, last.end_ms, last.words)
    if not spoken:
        return []
    # Captions stay long enough to be read; here the times are those at which it was heard.
    heard_ms = max(each.end_ms for each in spoken)
    return [
        Cue(cue.start_ms, max(min(cue.end_ms, heard_ms), cue.start_ms + 1), cue.lines)
        for cue in build_cues(spoken)
    ]


def _utterances(turn: Turn) -> Iterator[Utterance]:
    """What was heard of a turn; of an interrupted one, as far as it was played."""
    if not turn.utterances:
        text = (turn.heard_text or turn.text) if turn.who == Speaker.AVATAR else turn.text
        if turn.start_ms is not None and text and not (turn.who == Speaker.AVATAR and _unheard(turn)):
            end_ms = turn.end_ms if turn.end_ms is not None else turn.start_ms + TYPED_MS
            yield Utterance(text, turn.start_ms, max(end_ms, turn.start_ms + 1))
        return
    until = turn.end_ms if turn.interrupted else None
    for told in turn.utterances:
        start, end = int(told["start_ms"]), int(told["end_ms"])
        if until is not None and start >= until:
            return
        cut = until is not None and end > until
        words = list(_words(told, until if cut else None))
        text = " ".join(word.text for word in words) if cut and words else str(told["text"])
        end = min(end, until) if until is not None else end
        relative = [Word(w.text, w.start_ms - start, w.end_ms - start) for w in words]
        yield Utterance(text, start, max(end, start + 1), relative)


def _unheard(turn: Turn) -> bool:
    return turn.interrupted and not turn.heard_text


def _words(told: dict[str, Any], until: int | None) -> Iterable[Word]:
    """The timed words of an utterance that had begun by `until`."""
    for text, start, end in told.get("words") or ():
        if until is None or start < until:
            yield Word(str(text), int(start), int(end))


def _name(name: str) -> str:
    """A name inside a voice tag: no line break, nothing that ends the tag."""
    return escape(" ".join(name.split())) or "Avatar"


def _stamp(ms: int) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{ms:03}"
