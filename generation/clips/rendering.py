"""The render stage: one fragment from sound to stored video."""

import logging
import time
from typing import Any

from django.db import transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce, Greatest, Least
from django.utils import timezone

from generation.clips import actors, leases, outcome, plan, sound, subtitles, tracing
from generation.clips.leases import Lease, LeaseLost, StopWork
from generation.clips.models import Clip, ClipFragment, ClipStatus, ClipUtterance, FragmentStatus
from storage import fragments
from storage.fragments import FragmentInfo
from workers import dispatch, profiles
from workers.adapters.avatar.base import AudioWindow, Renderer
from workers.gpu import figures
from workers.rendering.fragment import render_fragment as draw_and_encode

_log = logging.getLogger(__name__)


def render_fragment(clip_id: str, index: int) -> None:
    """Make one fragment, unless it is made, taken, or not wanted any more."""
    started_at = timezone.now()
    fragment = ClipFragment.objects.select_related("clip").filter(clip_id=clip_id, index=index).first()
    if fragment is None or fragment.status == FragmentStatus.DONE:
        return
    clip = fragment.clip
    if clip.status != ClipStatus.RUNNING or clip.cancel_requested_at is not None:
        outcome.cancel_if_idle(clip_id)
        return
    if clip.model not in profiles.model_ids():  # the reconciler gives it time to come back, and ends it
        return
    profile = profiles.load_profile(clip.model)
    if not profile.stateless:  # the model was moved to another backend meanwhile
        dispatch.render_stream(clip_id, profile.queue)
        return
    lease = leases.take(
        ClipFragment,
        fragment.pk,
        clip_id,
        ~Q(status=FragmentStatus.DONE),
        status=FragmentStatus.RUNNING,
        started_at=started_at,
    )
    if lease is None or outcome.worn_out(lease, fragment.attempts + 1):
        return
    with leases.keeper.holding(lease), tracing.stage("fragment", clip_id, fragment.enqueued_at, index):
        try:
            _make(clip, fragment, lease)
        except LeaseLost:
            _log.info("fragment %s/%d was taken over", clip_id, index)
        except StopWork:
            lease.release(status=FragmentStatus.PENDING)
            outcome.cancel_if_idle(clip_id)
        except Exception as error:  # noqa: BLE001 - whatever it was, the row must say what comes next
            outcome.failed_attempt(lease, error, retries=fragment.retries, attempts=fragment.attempts + 1)


def _make(clip: Clip, fragment: ClipFragment, lease: Lease) -> None:
    begun = time.monotonic()
    # Only a second start can find its object: the first one looks for nothing.
    again = fragment.attempts or fragment.retries
    stored = fragments.find_fragment(clip.pk, fragment.index) if again else None
    if stored is None:
        with tracing.part("draw", frames=fragment.frames, model=clip.model):
            data = _draw(clip, fragment, lease)
        with tracing.part("store", bytes=len(data)):
            stored = fragments.put_fragment(clip.pk, fragment.index, data)
    finish(lease, stored, render_ms=round((time.monotonic() - begun) * 1000))


def _draw(clip: Clip, fragment: ClipFragment, lease: Lease) -> bytes:
    scene = actors.scene(clip)
    renderer = actors.renderer(clip.model)
    avatar = actors.avatar(renderer, clip.bundle_key, clip.bundle_sha256)
    stream = renderer.open_stream(avatar, start_frame=fragment.start_frame, background=scene.background)
    return encoded(renderer, stream, clip, fragment, lease)


def encoded(renderer: Renderer, stream: Any, clip: Clip, fragment: ClipFragment, lease: Lease) -> bytes:
    """Draw a fragment in a stream that has come to it."""
    scene = actors.scene(clip)
    with figures.drawing(clip.model, fragment.frames) as drawing:
        return draw_and_encode(
            renderer,
            stream,
            window(clip, fragment),
            width=scene.width,
            height=scene.height,
            canvas=scene.canvas,
            overlay=subtitles.overlay(clip, scene, fragment.start_frame, fragment.frames),
            check=drawing.checking(lease.check),
        ).data


def window(clip: Clip, fragment: ClipFragment) -> AudioWindow:
    """What is heard of a fragment."""
    profile = plan.hearing(profiles.load_profile(clip.model))
    start, end = sound.overlapping(profile, fragment.start_frame, fragment.frames)
    heard = pieces(clip.pk, start, end)
    return sound.window(profile, fragment.start_frame, fragment.frames, heard, actors.load_pcm)


def pieces(clip_id: str, start: int, end: int) -> list[sound.Piece]:
    """Read the utterances that overlap samples `start` to `end` of the timeline."""
    rows = ClipUtterance.objects.filter(
        clip_id=clip_id, start_sample__lt=end, start_sample__gt=start - F("samples")
    )
    return [
        sound.Piece(
            start=row.start_sample,
            samples=row.samples,
            key=row.pcm_key,
            phones=tuple((p[0], p[1], p[2]) for p in row.timings.get("phones", ())),
        )
        for row in rows
    ]


def finish(lease: Lease, stored: FragmentInfo, *, render_ms: int) -> None:
    """Record a stored fragment, and go on to assembly if it was the last. Raises `LeaseLost`."""
    with transaction.atomic():
        lease.write(
            status=FragmentStatus.DONE,
            sha256=stored.sha256,
            bytes=stored.size,
            render_ms=render_ms,
            done_at=timezone.now(),
            lease_token="",
            lease_until=None,
        )
        counted(lease.clip_id)


def counted(clip_id: str) -> None:
    """Note inside a transaction that one more fragment is done."""
    Clip.objects.filter(pk=clip_id, status=ClipStatus.RUNNING).update(
        fragments_done=F("fragments_done") + 1, revision=F("revision") + 1, progress=_progress()
    )
    outcome.advance(clip_id)


def _progress() -> Greatest:
    """Percent after one more fragment; while the total is unknown, of the estimate, up to 80."""
    expected = Coalesce(F("fragments_total"), F("estimated_ms") / Value(3000) + Value(1))
    percent = Value(3) + Value(92) * (F("fragments_done") + Value(1)) / expected
    cap = Case(When(fragments_total=None, then=Value(80)), default=Value(95))
    return Greatest(F("progress"), Least(percent, cap))
