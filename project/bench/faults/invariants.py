"""What has to hold when the dust has settled. Each check is a pure function of what was seen.

    for verdict in verdicts(seen):
        print(verdict.name, verdict.passed, verdict.evidence)

`Seen.facts` is what `inside.facts` tells of the stack, the rest is what customers saw from outside.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from project.bench.faults.batch import FINAL, Accepted, Told
from project.bench.faults.films import Film
from project.bench.faults.talk import Talk
from project.bench.results import Check

FRAME_MS = 40
MOST_SHOWN = 5  # examples in the evidence of a check that failed
END_OF_CLIP = {f"clip.{status}" for status in FINAL}


@dataclass
class Seen:
    """Everything that a run knows at its end. `films` are the finished videos, by clip or session."""

    accepted: Sequence[Accepted] = ()
    refused: Sequence[str] = ()
    told: Mapping[str, Sequence[Told]] = field(default_factory=dict)
    films: Mapping[str, Film] = field(default_factory=dict)
    talks: Sequence[Talk] = ()
    last_talk: Talk | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)  # the supervisor's
    happened: int = 0  # failures, and those that were left when the batch was done
    spared: int = 0
    away: Sequence[tuple[float, float]] = ()  # when hosts of sessions may have heard of nothing (monotonic)
    lost: Sequence[str] = ()  # parts that did not come back in time
    strangers: Sequence[str] = ()  # processes that belong to no part
    left_running: Sequence[str] = ()  # processes after the stack was stopped

    @property
    def begun(self) -> list[Talk]:
        """The sessions that were created."""
        return [talk for talk in self.talks if talk.id]

    def rows(self, table: str) -> list[dict[str, Any]]:
        return list(self.facts.get(table, ()))


TABLES = ("clips", "fragments", "deliveries", "sessions", "turns", "recordings")
Problems = Iterator[str]
_checks: dict[str, Callable[[Seen], tuple[int, Problems]]] = {}


def _check(
    counted: str,
) -> Callable[[Callable[[Seen], Problems]], Callable[[Seen], tuple[int, Problems]]]:
    """Make a check of a function that yields what is wrong; `counted` names what it looked at."""

    def made(function: Callable[[Seen], Problems]) -> Callable[[Seen], tuple[int, Problems]]:
        def check(seen: Seen) -> tuple[int, Problems]:
            return _COUNTED[counted](seen), function(seen)

        _checks[(function.__doc__ or "").partition("\n")[0].rstrip(".")] = check
        _named[function.__name__] = check
        return check

    return made


_named: dict[str, Callable[[Seen], tuple[int, Problems]]] = {}
_COUNTED: dict[str, Callable[[Seen], int]] = {
    "clips": lambda seen: len(seen.accepted),
    "fragments": lambda seen: len(seen.rows("fragments")),
    "deliveries": lambda seen: len(seen.rows("deliveries")),
    "sessions": lambda seen: len(seen.talks),
    "objects": lambda seen: len(seen.facts.get("objects", ())),
    "keys": lambda seen: len(seen.facts.get("keys", ())),
    "rows": lambda seen: sum(len(seen.rows(table)) for table in TABLES),
    "queues": lambda seen: len(seen.facts.get("queues", ())),
    "parts": lambda seen: len(seen.status.get("parts", ())),
    "failures": lambda seen: seen.happened,
}


def verdicts(seen: Seen) -> list[Check]:
    """Do every check."""
    return [_verdict(name, *check(seen)) for name, check in _checks.items()]


def problems(name: str, seen: Seen) -> list[str]:
    """What one check, by the name of its function, finds wrong."""
    return list(_named[name](seen)[1])


def _verdict(name: str, count: int, found: Iterable[str]) -> Check:
    wrong = list(found)
    if not wrong:
        return Check(name, True, f"{count} looked at")
    more = f" and {len(wrong) - MOST_SHOWN} more" if len(wrong) > MOST_SHOWN else ""
    return Check(name, False, "; ".join(wrong[:MOST_SHOWN]) + more)


# --- Clips ----------------------------------------------------------------------------------------


@_check("clips")
def accepted(seen: Seen) -> Problems:
    """Every order was accepted, and repeating it made no second clip."""
    yield from seen.refused
    for one in seen.accepted:
        if len(set(one.ids)) != 1:
            yield f"order {one.order.number} became {sorted(set(one.ids))}"
    ours = {one.id for one in seen.accepted}
    for row in seen.rows("clips"):
        if row["id"] not in ours:
            yield f"{row['id']}: nobody ordered it"


@_check("clips")
def ended(seen: Seen) -> Problems:
    """Every accepted clip succeeded, or was canceled on request."""
    rows = {row["id"]: row for row in seen.rows("clips")}
    for one in seen.accepted:
        row = rows.get(one.id)
        if row is None:
            yield f"{one.id} is gone"
        elif row["status"] == "canceled" and one.canceled:
            continue
        elif row["status"] != "succeeded":
            yield f"{one.id} is {row['status']} {row['stage']} {row['failure_code']}".rstrip()
        if row is not None and one.status != row["status"]:
            yield f"{one.id}: the customer saw {one.status}, the row says {row['status']}"


@_check("clips")
def told_once(seen: Seen) -> Problems:
    """The end of every clip was told, under one id, and truly."""
    rows = {row["id"]: row for row in seen.rows("clips")}
    for one in seen.accepted:
        told = [each for each in seen.told.get(one.id, ()) if each.kind in END_OF_CLIP]
        if len({each.event for each in told}) != 1:
            yield f"{one.id}: {len({each.event for each in told})} events"
        if len({each.body for each in told}) > 1:
            yield f"{one.id}: one event with {len({each.body for each in told})} bodies"
        status = rows[one.id]["status"] if one.id in rows else "gone"
        if {each.kind for each in told} - {f"clip.{status}"}:
            yield f"{one.id} is {status}; told was {sorted({each.kind for each in told})}"


@_check("fragments")
def fragments(seen: Seen) -> Problems:
    """No fragment of a finished clip is lost, doubled, or unlike its object."""
    objects = seen.facts.get("objects", {})
    by_clip: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in seen.rows("fragments"):
        by_clip[row["clip_id"]].append(row)
    for clip in seen.rows("clips"):
        if clip["status"] != "succeeded":
            continue
        rows = sorted(by_clip[clip["id"]], key=lambda row: int(row["index"]))
        if len(rows) != clip["fragments_total"] or clip["fragments_done"] != len(rows):
            done = f"{clip['fragments_done']} done of {clip['fragments_total']}"
            yield f"{clip['id']}: {len(rows)} fragments, {done}"
        at = 0
        for row in rows:
            if row["start_frame"] != at:
                yield f"{clip['id']}/{row['index']} begins at {row['start_frame']}, not {at}"
            at = row["start_frame"] + row["frames"]
            if row["status"] != "done":
                yield f"{clip['id']}/{row['index']} is {row['status']}"
            elif objects.get(row["key"]) != row["bytes"]:
                yield f"{row['key']} has {objects.get(row['key'])} bytes, not {row['bytes']}"


@_check("clips")
def films(seen: Seen) -> Problems:
    """Every video is whole: all its frames in place, sound of the same length, the duration that was told."""
    cards = {one.id for one in seen.accepted if one.order.card}
    frames: Counter[str] = Counter()
    for row in seen.rows("fragments"):
        frames[row["clip_id"]] += row["frames"]
    for clip in seen.rows("clips"):
        if clip["status"] != "succeeded":
            continue
        film = seen.films.get(clip["id"])
        if film is None:
            yield f"{clip['id']}: no video"
            continue
        yield from (f"{clip['id']}: {wrong}" for wrong in film.wrong())
        if clip["id"] in cards:
            yield from (f"{clip['id']}: {wrong}" for wrong in film.misplaced())
        if film.frames != frames[clip["id"]]:
            yield f"{clip['id']}: {film.frames} frames of {frames[clip['id']]}"
        if abs(clip["duration_ms"] - film.frames * FRAME_MS) > FRAME_MS:
            yield f"{clip['id']}: {clip['duration_ms']} ms told, {film.frames * FRAME_MS} ms there"


# --- Sessions -------------------------------------------------------------------------------------


@_check("sessions")
def sessions_ended(seen: Seen) -> Problems:
    """Every session ended, with a reason that is its customer's or a death's."""
    known = {talk.id for talk in seen.talks}
    for row in seen.rows("sessions"):
        if row["status"] != "ended" or not row["end_reason"]:
            yield f"{row['id']} is {row['status']} {row['end_reason']}"
        elif row["id"] in known and row["end_reason"] == "failed":
            yield f"{row['id']} failed"
    for talk in seen.talks:
        yield from (f"{talk.id or 'a session that never began'}: {trouble}" for trouble in talk.trouble)


@_check("sessions")
def answers(seen: Seen) -> Problems:
    """Once everything is back, every question is answered."""
    if seen.last_talk is None:
        if seen.talks:
            yield "nobody asked"
        return
    for asked in seen.last_talk.asked:
        if not asked.answered:
            yield f"{seen.last_talk.id}: {asked.text!r} {asked.trouble}"


@_check("sessions")
def transcripts(seen: Seen) -> Problems:
    """Every transcript is in order, closed, and has what the customer was told and asked."""
    by_session: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in seen.rows("turns"):
        by_session[row["session_id"]].append(row)
    for talk in seen.begun:
        rows = sorted(by_session[talk.id], key=lambda row: int(row["number"]))
        yield from (f"{talk.id}: {wrong}" for wrong in _transcript(talk, rows))


def _transcript(talk: Talk, rows: Sequence[dict[str, Any]]) -> Problems:
    for row in rows:
        if row["status"] == "open":
            yield f"turn {row['number']} is open"
        begin, end = row["start_ms"], row["end_ms"]
        if begin is not None and end is not None and end < begin:
            yield f"turn {row['number']} ends before it begins"
    begins = [row["start_ms"] for row in rows if row["who"] == "avatar" and row["start_ms"] is not None]
    if begins != sorted(begins):
        yield f"turns out of order: {begins}"
    said = _words(row["text"] for row in rows if row["who"] == "avatar")
    place = 0
    for sentence in talk.spoken:
        found = said.find(_words([sentence]), place)
        if found < 0:
            yield f"heard, but not in the transcript (or elsewhere): {sentence[:60]!r}"
        else:
            place = found
    written = [row["text"] for row in rows if row["who"] == "user"]
    asked = [one.text for one in talk.asked]
    if not _is_part(written, asked):
        yield f"asked {asked}, written {written}"
    typed = [one for one in talk.asked if not one.aloud]
    if missing := [one.text for one in typed if one.answered and one.text not in written]:
        yield f"answered, but not in the transcript: {missing}"


def _is_part(some: Sequence[str], whole: Sequence[str]) -> bool:
    """Whether `some` is left of `whole` when things are left out."""
    rest = iter(whole)
    return all(any(each == other for other in rest) for each in some)


def _words(texts: Iterable[str]) -> str:
    return " ".join(" ".join(texts).split())


@_check("sessions")
def recordings(seen: Seen) -> Problems:
    """Every recording is whole, and is what its customer heard and saw, in its place."""
    rows = {row["session_id"]: row for row in seen.rows("recordings")}
    origins = {row["id"]: row["origin"] for row in seen.rows("sessions")}
    for talk in seen.begun:
        row = rows.get(talk.id)
        if row is None:
            yield f"{talk.id}: no recording"
            continue
        if not talk.stretches and row["failure_code"] == "nothing_recorded":
            continue
        film = seen.films.get(talk.id)
        if row["status"] != "ready" or film is None:
            yield f"{talk.id}: {row['status']} {row['failure_code']}"
            continue
        yield from (f"{talk.id}: {wrong}" for wrong in film.wrong())
        # A picture may stand for longer than one frame, so that frames do not tell how long it is.
        if abs(row["duration_ms"] - 1000 * film.video_seconds) > FRAME_MS:
            yield f"{talk.id}: {row['duration_ms']} ms told, {1000 * film.video_seconds:.0f} ms there"
        yield from (f"{talk.id}: {wrong}" for wrong in film.unlike(talk, origins[talk.id]))
        yield from (f"{talk.id}: {wrong}" for wrong in film.goes_on(talk, origins[talk.id], seen.away))


NOBODYS = ("probe/writable",)  # the check of storage writes it again and again
RESULTS = ("video_key", "poster_key", "srt_key", "vtt_key")


# --- What is left ---------------------------------------------------------------------------------


@_check("deliveries")
def deliveries(seen: Seen) -> Problems:
    """Every webhook was delivered, and each event under one id."""
    for row in seen.rows("deliveries"):
        if row["status"] != "succeeded":
            yield f"{row['id']} {row['event_type']} is {row['status']} {row['error']}"
    kinds = Counter((row["subject"], row["event_type"], row["url"]) for row in seen.rows("deliveries"))
    for (subject, kind, _), count in kinds.items():
        if count > 1 and kind in END_OF_CLIP | {"session.ended", "recording.ready"}:
            yield f"{subject}: {kind} was written {count} times"


@_check("rows")
def no_stuck_rows(seen: Seen) -> Problems:
    """No row waits for somebody to work on it."""
    yield from (f"{table} {pk} is {state}" for table, pk, state in seen.facts.get("unfinished", ()))


@_check("rows")
def no_leases(seen: Seen) -> Problems:
    """Nobody holds anything."""
    yield from (f"{table} {pk}" for table, pk in seen.facts.get("leases", ()))


@_check("queues")
def queues(seen: Seen) -> Problems:
    """Every queue is empty."""
    yield from (f"{queue}: {depth}" for queue, depth in seen.facts.get("queues", {}).items() if depth)


@_check("objects")
def objects(seen: Seen) -> Problems:
    """No object is without its row, no result without its object, no part without its use."""
    ids = {prefix: set(known) for prefix, known in seen.facts.get("ids", {}).items()}
    stored = seen.facts.get("objects", {})
    for key in stored:
        top, _, rest = key.partition("/")
        if key in NOBODYS:
            continue
        if rest.partition("/")[0] not in ids.get(top, set()):
            yield f"{key} belongs to no row"
    for row in seen.rows("clips"):
        if row["status"] == "succeeded":
            lacking = [name for name in RESULTS if row[name] not in stored]
            yield from (f"{row['id']}: {name} is missing" for name in lacking)
    for row in seen.rows("recordings"):
        parts = [key for key in stored if key.startswith(f"sessions/{row['session_id']}/parts/")]
        if row["status"] == "ready" and parts:
            yield f"{row['session_id']}: {len(parts)} parts are left"
        if row["status"] == "ready" and stored.get(row["key"]) != row["bytes"]:
            yield f"{row['key']} has {stored.get(row['key'])} bytes, not {row['bytes']}"


# What may stay in the broker for ever: Celery's own, and one counter for each queue or shared server.
PERMANENT = re.compile(r"celery:(_kombu\.binding|unacked).*|live:slots:[^:]+:arrivals|leases:.*:fence")
# What ends by itself, and how many of each there may be at the end of a run.
MOST_KEYS = 2000
LONGEST_STREAM = 2000


@_check("keys")
def broker_keys(seen: Seen) -> Problems:
    """Nothing in the broker stays for ever, or grows without bounds."""
    keys = seen.facts.get("keys", ())
    for name, kind, length, ttl in keys:
        if ttl < 0 and not PERMANENT.fullmatch(name):
            yield f"{name} ({kind}, {length}) never ends"
        if kind in ("stream", "list") and length > LONGEST_STREAM:
            yield f"{name} has {length} entries"
    if len(keys) > MOST_KEYS:
        yield f"{len(keys)} keys"


@_check("failures")
def failures(seen: Seen) -> Problems:
    """Every failure of the plan happened."""
    if seen.spared:
        yield f"{seen.spared} were left when the batch was done; {seen.happened} happened"


@_check("parts")
def healthy(seen: Seen) -> Problems:
    """Every part came back, and is there."""
    yield from seen.lost
    if not seen.status.get("ready"):
        for name, state in seen.status.get("parts", {}).items():
            if state["state"] not in ("ready", "done"):
                yield f"{name} is {state['state']}"
        yield "the supervisor is not ready"


@_check("parts")
def processes(seen: Seen) -> Problems:
    """No process belongs to nobody, and none is left when the stack stops."""
    yield from (f"belongs to no part: {one}" for one in seen.strangers)
    yield from (f"left running: {one}" for one in seen.left_running)


NAMES = tuple(_named)
