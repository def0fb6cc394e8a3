import itertools

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from sessions import states
from sessions.models import EndReason, Recording, RecordingStatus, Session, SessionStatus
from tests.support.sessions import create

LEGAL = {
    ("created", "queued"),
    ("created", "active"),
    ("created", "ended"),
    ("queued", "active"),
    ("queued", "ended"),
    ("active", "ended"),
}
RECORDING_LEGAL = {
    ("recording", "assembling"),
    ("recording", "failed"),
    ("recording", "erased"),
    ("assembling", "ready"),
    ("assembling", "failed"),
    ("assembling", "erased"),
    ("ready", "erased"),
    ("failed", "assembling"),
    ("failed", "erased"),
}

pytestmark = pytest.mark.postgres


def put(session, status):
    over = {"ended_at": timezone.now(), "end_reason": "api_ended"} if status == "ended" else {}
    Session.objects.filter(pk=session.pk).update(status=status, **over)


@pytest.mark.parametrize(("current", "target"), list(itertools.product(SessionStatus.values, repeat=2)))
def test_a_session_moves_exactly_as_it_may(alice, avatar, current: str, target: str) -> None:
    session = create(alice, avatar).session
    put(session, current)
    moved = (
        states.end(session.pk, EndReason.FAILED)
        if target == "ended"
        else states.move(session.pk, SessionStatus(target))
    )
    assert moved is ((current, target) in LEGAL)
    session.refresh_from_db()
    assert session.status == (target if moved else current)


@pytest.mark.parametrize(("current", "target"), list(itertools.product(RecordingStatus.values, repeat=2)))
def test_a_recording_moves_exactly_as_it_may(alice, avatar, current: str, target: str) -> None:
    recording = Recording.objects.create(session=create(alice, avatar).session, status=current)
    moved = states.move_recording(recording.pk, RecordingStatus(target))
    assert moved is ((current, target) in RECORDING_LEGAL)
    recording.refresh_from_db()
    assert recording.status == (target if moved else current)


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "paused"},
        {"status": "ended", "ended_at": None},
        {"ended_at": timezone.now()},
        {"end_reason": "failed"},
    ],
)
def test_the_database_refuses_half_an_end(alice, avatar, columns) -> None:
    session = create(alice, avatar).session
    with pytest.raises(IntegrityError), transaction.atomic():
        Session.objects.filter(pk=session.pk).update(**columns)
