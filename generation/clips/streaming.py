"""The render stage of stateful models: the fragments of a clip in their order, through one stream.

One task draws what can be drawn, under a lease of its own. Where sound has yet to come it goes away and is
sent again with it; where a live session waits it makes room after each fragment, and a worker that is
told to stop leaves the rest to others. A start after a crash
finds the fragments that are stored, and has the new stream draw the one before it goes on, for nobody, so
that movement does not begin from rest. The seam is told all the same.
"""

import logging
import time
from collections.abc import Collection
from datetime import datetime
from typing import Any

import redis
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from generation.clips import actors, leases, outcome, rendering, tracing
from generation.clips.leases import Lease, LeaseLost, StopWork
from generation.clips.models import Clip, ClipFragment, ClipStatus, ClipStream, FragmentStatus
from generation.clips.parking import Place, parked
from storage import fragments
from storage.fragments import FragmentInfo
from workers import dispatch, presence
from workers.profiles import load_profile

MOST_WARNINGS = 50

_log = logging.getLogger(__name__)


def render_stream(clip_id: str, *, goes_first: Collection[str] = ()) -> None:
    """Draw what can be drawn of a clip; in the queues `goes_first` lies work to be done before it."""
    while _start(clip_id, goes_first):
        pass  # more was planned when this start had just given up its lease


def _start(clip_id: str, goes_first: Collection[str]) -> bool:
    """Do one start; True where another is due at once."""
    clip = Clip.objects.filter(pk=clip_id).first()
    if clip is None:
        return False
    if clip.status != ClipStatus.RUNNING or clip.cancel_requested_at is not None:
        if (place := parked.take(clip_id)) is not None:
            place.close()
        outcome.cancel_if_idle(clip_id)
        return False
    row = ClipStream.objects.get_or_create(clip=clip)[0]
    if _next(clip_id) is None:
        return False
    lease = leases.take(ClipStream, clip_id, clip_id, Q())
    if lease is None or outcome.worn_out(lease, row.attempts + 1):
        return False
    drawing = _Drawing(clip, row, lease)
    with leases.keeper.holding(lease):
        try:
            yielded = drawing.run(goes_first)
        except LeaseLost:
            _log.info("the stream of %s was taken over", clip_id)
        except StopWork:
            lease.release()
            outcome.cancel_if_idle(clip_id)
        except Exception as error:  # noqa: BLE001 - whatever it was, the row must say what comes next
            drawing.close()
            outcome.failed_attempt(lease, error, retries=drawing.retries, attempts=drawing.attempts)
        else:
            return drawing.leave(yielded=yielded) and not yielded
        finally:
            drawing.close()
    return False


class _Drawing:
    """One start, and the stream it draws in."""

    def __init__(self, clip: Clip, row: ClipStream, lease: Lease) -> None:
        self.clip, self.lease = clip, lease
        self.retries, self.attempts = row.retries, row.attempts + 1
        self._place = parked.take(clip.pk)

    def run(self, goes_first: Collection[str]) -> bool:
        """Draw until nothing is left that can be drawn, or somebody else goes first: then True."""
        while (fragment := _next(self.clip.pk)) is not None:
            self.lease.check()
            with tracing.stage("fragment", self.clip.pk, fragment.enqueued_at, fragment.index):
                self._make(fragment)
            if self._place is not None and self._place.wanted:
                self.close()
                return True
            if presence.leaving() or _somebody_waits(goes_first):
                return True
        return False

    def leave(self, *, yielded: bool) -> bool:
        """Give back the lease, and keep the stream for the rest; say whether there is some already."""
        place, self._place = self._place, None
        whole = Clip.objects.filter(pk=self.clip.pk, fragments_total__isnull=False).exists()
        if place is not None and whole and _next(self.clip.pk) is None:
            place.close()
        elif place is not None:
            parked.put(self.clip.pk, place)  # before others may take the row
        self.lease.release(enqueued_at=timezone.now())
        if _next(self.clip.pk) is None:
            return False
        if yielded:
            dispatch.render_stream(self.clip.pk, load_profile(self.clip.model).queue)
        return True

    def close(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            place.close()

    def _make(self, fragment: ClipFragment) -> None:
        started_at, begun = timezone.now(), time.monotonic()
        goes_on = self._place is not None and self._place.next == fragment.index
        seams: list[int] = []
        stored = None if goes_on else fragments.find_fragment(self.clip.pk, fragment.index)
        if stored is not None:
            self.close()
        else:
            if not goes_on:
                self._place = self._opened(fragment)
                seams = [fragment.start_frame] if fragment.index else []
            data, told = self._drawn(fragment)
            stored = fragments.put_fragment(self.clip.pk, fragment.index, data)
            seams += [frame for frame in told if frame not in seams]
        self._finish(fragment, stored, seams, started_at, render_ms=round((time.monotonic() - begun) * 1000))

    def _opened(self, fragment: ClipFragment) -> Place:
        """Open a stream that has come to this fragment."""
        self.close()
        before = ClipFragment.objects.filter(clip=self.clip, index=fragment.index - 1).first()
        first = before or fragment
        renderer: Any = actors.new_renderer(self.clip.model)
        avatar = actors.avatar(renderer, self.clip.bundle_key, self.clip.bundle_sha256)
        background = actors.scene(self.clip).background
        stream = renderer.open_stream(avatar, start_frame=first.start_frame, background=background)
        self._place = Place(renderer, stream, fragment.index)
        if (warm := getattr(renderer, "warm_stream", None)) is not None:
            warm(stream, live=False)
        if before is not None:
            heard = rendering.window(self.clip, before)
            for pose in renderer.infer(stream, renderer.extract_features(stream, heard)):
                self.lease.check()
                renderer.compose_frame(stream, pose)
        return self._place

    def _drawn(self, fragment: ClipFragment) -> tuple[bytes, list[int]]:
        """The fragment, and the frames in it before which the stream itself lost its thread."""
        place = self._place
        assert place is not None  # noqa: S101 - whoever draws has opened it
        known = len(getattr(place.stream, "seams", ()))
        data = rendering.encoded(place.renderer, place.stream, self.clip, fragment, self.lease)
        place.next = fragment.index + 1
        return data, list(getattr(place.stream, "seams", ()))[known:]

    def _finish(
        self,
        fragment: ClipFragment,
        stored: FragmentInfo,
        seams: list[int],
        started_at: datetime,
        *,
        render_ms: int,
    ) -> None:
        """Record a stored fragment. Raises `LeaseLost`."""
        with transaction.atomic():
            self.lease.write(retries=0, attempts=1)
            done = ClipFragment.objects.filter(pk=fragment.pk).exclude(status=FragmentStatus.DONE)
            if done.update(
                status=FragmentStatus.DONE,
                sha256=stored.sha256,
                bytes=stored.size,
                started_at=started_at,
                render_ms=render_ms,
                done_at=timezone.now(),
                lease_token="",  # of whoever drew it alone, before the model was moved to another backend
                lease_until=None,
            ):
                _warn(self.clip.pk, seams)
                rendering.counted(self.clip.pk)
        self.retries, self.attempts = 0, 1


def _next(clip_id: str) -> ClipFragment | None:
    undone = ClipFragment.objects.filter(clip_id=clip_id).exclude(status=FragmentStatus.DONE)
    return undone.order_by("index").first()


def _warn(clip_id: str, seams: list[int]) -> None:
    if not seams:
        return
    known = Clip.objects.select_for_update(no_key=True).values_list("warnings", flat=True).get(pk=clip_id)
    told = [*known, *({"code": "render_seam", "at_ms": frame * 40} for frame in seams)]
    Clip.objects.filter(pk=clip_id).update(warnings=told[:MOST_WARNINGS])


def _somebody_waits(goes_first: Collection[str]) -> bool:
    """Whether live work waits for a thread of this worker."""
    try:
        return any(dispatch.depth(queue) for queue in goes_first)
    except redis.RedisError:
        return False
