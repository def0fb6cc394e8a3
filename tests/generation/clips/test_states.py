import itertools

import pytest

from generation.clips import states
from generation.clips.models import Clip, ClipStatus

LEGAL = {
    ("queued", "running"),
    ("queued", "failed"),
    ("queued", "canceled"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "canceled"),
}

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(("current", "target"), list(itertools.product(ClipStatus.values, repeat=2)))
def test_the_database_allows_exactly_the_legal_moves(make, current: str, target: str) -> None:
    clip = make()
    Clip.objects.filter(pk=clip.pk).update(status=current)
    assert states.move(clip.pk, ClipStatus(target)) is ((current, target) in LEGAL)
    clip.refresh_from_db()
    assert clip.status == (target if (current, target) in LEGAL else current)


def test_a_clip_that_ended_holds_no_lease_and_knows_when(make) -> None:
    clip = make()
    Clip.objects.filter(pk=clip.pk).update(lease_token="t", status="running")
    states.move(clip.pk, ClipStatus.FAILED)
    clip.refresh_from_db()
    assert clip.lease_token == ""
    assert clip.finished_at is not None
