"""Every check passes where all held, and sees the one thing that did not."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from project.bench.faults import invariants
from project.bench.faults.batch import Told
from project.bench.faults.films import Card
from project.bench.faults.invariants import Seen
from project.bench.faults.talk import Asked
from tests.project.bench.faults.seen import film, good, sounds

Break = Callable[[Seen], object]


def clip(seen: Seen) -> dict[str, object]:
    found: dict[str, object] = seen.facts["clips"][0]
    return found


def row(table: str, **changes: object) -> Break:
    """Change the last row of a table."""
    return lambda seen: seen.facts[table][-1].update(changes)


def fact(name: str, value: object) -> Break:
    return lambda seen: seen.facts.update({name: value})  # type: ignore[attr-defined]


def told(*events: Told) -> Break:
    return lambda seen: seen.told.update({"clip_1": list(events)})  # type: ignore[attr-defined]


def event(pk: str = "evt_1", kind: str = "clip.succeeded", body: bytes = b"{}") -> Told:
    return Told(pk, kind, "clip_1", body)


def shown(**changes: object) -> Break:
    """Change the recording's film."""

    def change(seen: Seen) -> None:
        for name, value in changes.items():
            setattr(seen.films["ses_1"], name, value)

    return change


def longer_than_its_session(seen: Seen) -> None:
    seen.films["ses_1"].video_seconds = seen.films["ses_1"].audio_seconds = 20.0
    seen.facts["recordings"][-1]["duration_ms"] = 20_000


def a_fragment_drawn_twice(seen: Seen) -> None:
    of_cards(seen, [*range(25), *range(25)])


def of_cards(seen: Seen, numbers: Iterable[int]) -> None:
    """Let the first clip be one of test cards, with these."""
    seen.accepted[0].order = replace(seen.accepted[0].order, card=True)
    seen.films["clip_1"].cards = [Card(place / 25, number, 0.0) for place, number in enumerate(numbers)]


def reverse_of_what_was_heard(seen: Seen) -> None:
    seen.films["ses_1"].loudness = np.flip(seen.films["ses_1"].loudness)


def spoken_later_than_shown(seen: Seen) -> None:
    watcher = seen.talks[0].stretches[0].watcher
    watcher.sounds[:] = sounds(began=107.0)


BROKEN: list[tuple[str, Break]] = [
    ("accepted", lambda seen: setattr(seen, "refused", ["order 3: 500"])),
    ("accepted", lambda seen: seen.accepted[0].ids.append("clip_9")),
    ("accepted", lambda seen: seen.facts["clips"].append({**clip(seen), "id": "clip_9"})),
    ("ended", row("clips", status="running", stage="rendering")),
    ("ended", row("clips", status="failed", failure_code="worker_lost")),
    ("ended", lambda seen: setattr(seen.accepted[1], "canceled", False)),
    ("ended", lambda seen: setattr(seen.accepted[0], "status", "failed")),
    ("ended", lambda seen: seen.facts["clips"].pop()),
    ("told_once", told()),
    ("told_once", told(event(), event("evt_9"))),
    ("told_once", told(event(), event(body=b"{ }"))),
    ("told_once", told(event(kind="clip.failed"))),
    ("fragments", lambda seen: seen.facts["fragments"].pop()),
    ("fragments", row("fragments", start_frame=20)),
    ("fragments", row("fragments", status="pending")),
    ("fragments", lambda seen: seen.facts["objects"].pop("clips/clip_1/fragments/000001.mp4")),
    ("fragments", lambda seen: seen.facts["fragments"].append(seen.facts["fragments"][-1])),
    ("films", lambda seen: seen.films.pop("clip_1")),  # type: ignore[attr-defined]
    ("films", lambda seen: seen.films.update(clip_1=film(frames=49))),  # type: ignore[attr-defined]
    ("films", a_fragment_drawn_twice),
    ("films", lambda seen: clip(seen).update(duration_ms=1900)),
    ("films", lambda seen: setattr(seen.films["clip_1"], "errors", 1)),
    ("films", lambda seen: setattr(seen.films["clip_1"], "audio_seconds", 1.5)),
    ("films", lambda seen: setattr(seen.films["clip_1"], "in_order", False)),
    ("sessions_ended", row("sessions", status="active", end_reason="")),
    ("sessions_ended", row("sessions", end_reason="failed")),
    ("sessions_ended", lambda seen: seen.talks[0].trouble.append("nobody took the session on")),
    ("answers", lambda seen: seen.last_talk.asked.append(Asked("Hello?", 1.0))),
    ("answers", lambda seen: setattr(seen, "last_talk", None)),
    ("transcripts", row("turns", status="open")),
    ("transcripts", row("turns", end_ms=100)),
    ("transcripts", row("turns", text="Something else.")),
    ("transcripts", lambda seen: seen.facts["turns"].append({**seen.facts["turns"][0], "number": 3})),
    ("transcripts", lambda seen: seen.facts["turns"].pop(0)),
    ("transcripts", lambda seen: seen.facts["turns"].append({**seen.facts["turns"][1], "start_ms": 10})),
    ("recordings", lambda seen: seen.facts["recordings"].clear()),
    ("recordings", row("recordings", status="failed", failure_code="parts_unusable")),
    ("recordings", row("recordings", duration_ms=11_000)),
    ("recordings", lambda seen: seen.films.pop("ses_1")),  # type: ignore[attr-defined]
    ("recordings", shown(audio_seconds=11.0)),
    ("recordings", longer_than_its_session),
    ("recordings", reverse_of_what_was_heard),
    ("recordings", spoken_later_than_shown),
    ("deliveries", row("deliveries", status="pending")),
    ("deliveries", lambda seen: seen.facts["deliveries"].append(seen.facts["deliveries"][0])),
    ("no_stuck_rows", fact("unfinished", [["generation.Avatar", "avt_1", "preparing"]])),
    ("no_leases", fact("leases", [["generation.Clip", "clip_1"]])),
    ("queues", fact("queues", {"media": 1})),
    ("objects", lambda seen: seen.facts["objects"].update({"clips/clip_9/audio.m4a": 1})),
    ("objects", lambda seen: seen.facts["objects"].pop("clips/clip_1/result/poster.jpg")),
    ("objects", lambda seen: seen.facts["objects"].update({"sessions/ses_1/parts/000001-000001.part": 1})),
    ("objects", row("recordings", bytes=100)),
    ("broker_keys", fact("keys", [["live:epoch:ses_1", "string", 1, -1]])),
    ("broker_keys", fact("keys", [["live:events:ses_1", "stream", 100_000, 60]])),
    ("broker_keys", fact("keys", [[f"live:{number}", "string", 1, 60] for number in range(10_000)])),
    ("failures", lambda seen: setattr(seen, "spared", 3)),
    ("healthy", lambda seen: setattr(seen, "lost", ["Not after 150 s: web1 is ready again"])),
    ("healthy", lambda seen: seen.status.update(ready=False)),  # type: ignore[attr-defined]
    ("processes", lambda seen: setattr(seen, "strangers", ["77 celery"])),
    ("processes", lambda seen: setattr(seen, "left_running", ["77"])),
]


def test_a_good_run_passes_every_check():
    assert [check for check in invariants.verdicts(good()) if not check.passed] == []


@pytest.mark.parametrize(("name", "change"), BROKEN, ids=[f"{n}-{i}" for i, (n, _) in enumerate(BROKEN)])
def test_a_check_sees_what_is_wrong(name, change):
    seen = good()
    change(seen)
    assert invariants.problems(name, seen) != []


def test_a_clip_of_test_cards_in_their_places_is_whole():
    seen = good()
    of_cards(seen, range(50))
    assert invariants.problems("films", seen) == []


def test_every_check_was_seen_to_fail():
    assert {name for name, _ in BROKEN} == set(invariants.NAMES)


def test_the_evidence_of_a_failed_check_is_bounded():
    seen = good()
    seen.facts["leases"] = [["generation.Clip", f"clip_{number}"] for number in range(50)]
    (check,) = [check for check in invariants.verdicts(seen) if not check.passed]
    assert check.evidence.endswith("and 45 more")


def test_what_a_dying_host_may_lose_is_not_asked_for():
    seen = good()
    seen.films["ses_1"].loudness[:] = -60.0  # the recording lost it
    last = seen.talks[0].stretches[0]
    last.cut, last.ended = True, 105.0  # ... but its host died two seconds later
    assert invariants.problems("recordings", seen) == []
