"""Puts a run into a `Result`: checks with their evidence, a timeline, how long parts took to come back."""

from collections import defaultdict

from project.bench.faults import invariants
from project.bench.faults.invariants import Seen
from project.bench.faults.runner import Run
from project.bench.results import Result, Series, Table

RECOVERY = "From the moment a part is broken until the supervisor finds it ready again"


def fill(result: Result, run: Run, seen: Seen) -> None:
    """Add everything that is known."""
    result.checks.extend(invariants.verdicts(seen))
    result.timeline.extend(run.breaker.timeline)
    _recoveries(result, run)
    _counts(result, run, seen)
    points = tuple(run.progress)
    result.series.append(Series("batch", "clips that ended", "s", "clips", points))


def _recoveries(result: Result, run: Run) -> None:
    took: dict[str, list[float]] = defaultdict(list)
    for broken in run.breaker.broken:
        if broken.how == "stop":  # it went on when it was let go, which says nothing of the supervisor
            continue
        took[f"{broken.part.rstrip('0123456789')} {broken.how}"].append(broken.recovery_s)
    for case, values in sorted(took.items()):
        result.add("recovery_s", "s", values, state="steady", boundary=RECOVERY, source="machine", case=case)


def _counts(result: Result, run: Run, seen: Seen) -> None:
    clips = seen.rows("clips")
    starts = sum(row["attempts"] - 1 for row in seen.rows("fragments") if row["status"] == "done")
    asked = [asked for talk in seen.talks for asked in talk.asked]
    rows = (
        ("clips accepted", len(seen.accepted)),
        ("clips succeeded", sum(row["status"] == "succeeded" for row in clips)),
        ("clips canceled on request", sum(row["status"] == "canceled" for row in clips)),
        ("fragments", len(seen.rows("fragments"))),
        ("fragments that were begun again", starts),
        ("requests that a customer sent again", run.asked_again),
        ("sessions", len(seen.talks)),
        ("times a customer came back to a session", sum(talk.rejoined for talk in seen.talks)),
        ("questions", len(asked)),
        ("questions whose answer was cut short by a failure", sum(not one.answered for one in asked)),
        ("failures", len(run.breaker.broken)),
    )
    table = tuple((what, str(count)) for what, count in rows)
    result.tables.append(Table("What happened", ("", "count"), table))
