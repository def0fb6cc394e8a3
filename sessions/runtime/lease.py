"""Holding sessions: every claim of a process is renewed with one query for all of them.

The database says who hosts a session. A host that cannot reach it goes on playing, since nobody else
can take a session without it either; the first renewal that works says what was lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Case, F, IntegerField, Value, When
from django.db.models.functions import Greatest
from django.utils import timezone

from sessions import hosting
from sessions.hosting import Standing
from sessions.models import Session
from sessions.states import UNFINISHED


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds: the number of its claim, and the last event it told, if that is new."""

    fence: int
    seq: int
    seq_changed: bool = True


@dataclass(frozen=True, slots=True)
class Renewal:
    """Sessions that are still ours, and those that are not, with how they stand (None: removed)."""

    kept: Mapping[str, Standing]
    lost: Mapping[str, Standing | None]


def renew(host: str, held: Mapping[str, Held]) -> Renewal:
    """Renew every lease of a process, and write down how far each session's events have come."""
    if not held:
        return Renewal({}, {})
    kept = hosting.hosts_renew(host, {session_id: one.fence for session_id, one in held.items()})
    write_seqs(
        {session_id: one.seq for session_id, one in held.items() if one.seq_changed and session_id in kept}
    )
    return Renewal(kept, {one: hosting.standing(one) for one in held if one not in kept})


def write_seqs(seqs: Mapping[str, int]) -> None:
    """Store the number of the last event of each session; a number never goes back."""
    if not seqs:
        return
    cases = [When(pk=session_id, then=Value(seq)) for session_id, seq in seqs.items()]
    highest = Greatest(F("last_seq"), Case(*cases, default=Value(0), output_field=IntegerField()))
    Session.objects.filter(pk__in=seqs).update(last_seq=highest)


def hosts(session_ids: list[str]) -> dict[str, str]:
    """Return the living host of each session that has one."""
    rows = Session.objects.filter(
        pk__in=session_ids, status__in=UNFINISHED, host_lease_until__gt=timezone.now()
    )
    return dict(rows.exclude(host="").values_list("pk", "host"))
