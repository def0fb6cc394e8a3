"""The last stage: fragments and soundtrack to a finished file, by copying."""

import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from generation.clips import leases, outcome, subtitles, tracing
from generation.clips.leases import Lease, LeaseLost, StopWork
from generation.clips.models import Clip, ClipFragment, ClipStage, ClipStatus, FragmentStatus
from storage import fragments, keys
from storage.errors import ObjectDamaged, ObjectMissing
from storage.s3 import store
from workers import dispatch
from workers.profiles import load_profile
from workers.rendering.assemble import Assembled, assemble
from workers.rendering.captions import to_srt, to_vtt
from workers.rendering.poster import poster

_log = logging.getLogger(__name__)


class FragmentGone(Exception):
    """A fragment that was done is not in the store any more, or not what was stored."""

    def __init__(self, index: int) -> None:
        super().__init__(f"fragment {index} is gone")
        self.index = index


def assemble_clip(clip_id: str) -> None:
    """Finish a clip whose fragments are all there, unless somebody does or did."""
    clip = Clip.objects.filter(pk=clip_id, status=ClipStatus.RUNNING, stage=ClipStage.ASSEMBLING).first()
    if clip is None:
        return
    if clip.cancel_requested_at is not None:
        outcome.cancel_if_idle(clip_id)
        return
    ready = Q(status=ClipStatus.RUNNING, stage=ClipStage.ASSEMBLING, cancel_requested_at=None)
    lease = leases.take(Clip, clip_id, clip_id, ready)
    if lease is None or outcome.worn_out(lease, clip.attempts + 1):
        return
    with leases.keeper.holding(lease), tracing.stage("assembly", clip_id, clip.enqueued_at):
        try:
            _finish(clip, lease)
        except LeaseLost:
            _log.info("the assembly of %s was taken over", clip_id)
        except StopWork:
            lease.release()
            outcome.cancel_if_idle(clip_id)
        except FragmentGone as gone:
            _render_again(clip, lease, gone.index)
        except Exception as error:  # noqa: BLE001 - whatever it was, the row must say what comes next
            outcome.failed_attempt(lease, error, retries=clip.retries, attempts=clip.attempts + 1)


def _finish(clip: Clip, lease: Lease) -> None:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="parley-assembly-") as folder:
        with tracing.part("join"):
            made = _join(clip, lease, Path(folder))
        lease.check()
        with tracing.part("store", bytes=made.bytes):
            stored = _put_result(clip, Path(folder))
    timings = clip.timings | {"assembly_ms": round((time.monotonic() - begun) * 1000)}
    outcome.succeed(
        lease,
        duration_ms=made.duration_ms,
        width=made.width,
        height=made.height,
        bytes=made.bytes,
        timings=timings,
        **stored,
    )


def _join(clip: Clip, lease: Lease, folder: Path) -> Assembled:
    sound = folder / "audio.m4a"
    store().get_to_file(clip.audio_key, sound)
    return assemble(_fragments(clip), sound, folder / "video.mp4", progress=lambda _frames: lease.check())


def _fragments(clip: Clip) -> Iterator[bytes]:
    """Read one fragment after the other: memory does not grow with the clip."""
    for index in range(clip.fragments_total or 0):
        try:
            yield fragments.get_fragment(clip.pk, index)
        except (ObjectMissing, ObjectDamaged) as error:
            raise FragmentGone(index) from error


def _put_result(clip: Clip, folder: Path) -> dict[str, str]:
    """Store the four files of the result; storing them twice is harmless."""
    named = {name: keys.result(clip.pk, name) for name in keys.RESULT_FILES}
    first = fragments.get_fragment(clip.pk, 0)
    store().put_bytes(named["poster.jpg"], poster(first), "image/jpeg")
    cues = subtitles.all_cues(clip)
    store().put_bytes(named["captions.srt"], to_srt(cues).encode(), "application/x-subrip")
    store().put_bytes(named["captions.vtt"], to_vtt(cues).encode(), "text/vtt")
    store().put_file(named["video.mp4"], folder / "video.mp4", "video/mp4")
    return {
        "video_key": named["video.mp4"],
        "poster_key": named["poster.jpg"],
        "srt_key": named["captions.srt"],
        "vtt_key": named["captions.vtt"],
    }


def _render_again(clip: Clip, lease: Lease, index: int) -> None:
    """Send one fragment back, and the clip to rendering with it."""
    _log.error("fragment %s/%d is not what was stored; rendering it again", clip.pk, index)
    now = timezone.now()
    with transaction.atomic():
        lease.write(
            stage=ClipStage.RENDERING,
            fragments_done=F("fragments_done") - 1,
            revision=F("revision") + 1,
            lease_token="",
            lease_until=None,
            enqueued_at=now,
        )
        ClipFragment.objects.filter(clip=clip, index=index, status=FragmentStatus.DONE).update(
            status=FragmentStatus.PENDING, lease_token="", lease_until=None, enqueued_at=now
        )
        # Looked up before it is rendered, the damaged object would be found again.
        store().delete([keys.fragment(clip.pk, index)])
        profile = load_profile(clip.model)
        if profile.stateless:
            dispatch.render_fragment(clip.pk, index, profile.queue)
        else:
            dispatch.render_stream(clip.pk, profile.queue)
