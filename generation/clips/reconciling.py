"""Finds work whose message or worker was lost, and enqueues it again.

The rows say what has to be done; the queues are asked what waits in them already. A row is sent
again only when nobody holds it, its time has come, its message is not waiting, and the last one was
sent a few seconds ago: so a full queue is never filled twice, and an emptied one is full again after
one pass.
"""

import logging
from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from generation.clips import outcome, states
from generation.clips.leases import free
from generation.clips.models import Clip, ClipFragment, ClipStage, ClipStatus, ClipStream, FragmentStatus
from workers import dispatch, profiles
from workers.profiles import load_profile

GRACE = timedelta(seconds=4)  # from sending a message to its claim, on a busy machine
MOST_AT_ONCE = 1000
# A model's file that is gone may come back: somebody restarts with the old settings, or mends the new ones.
MODEL_GONE = timedelta(minutes=15)
# A queue this long is not read every few seconds; what it lost is found once it is shorter.
CROWDED = 20_000

_log = logging.getLogger(__name__)


def reconcile() -> int:
    """Do one pass; return how many messages were sent again. Raises what the broker raises."""
    if not Clip.objects.filter(status__in=states.UNFINISHED).exists():
        return 0  # nothing below is about any other
    settle_cancellations()
    settle_counts()
    settle_models()
    return send_speech() + send_assemblies() + send_fragments() + send_streams()


def settle_cancellations() -> None:
    """End cancelled clips whose last worker is gone."""
    asked = Clip.objects.filter(status__in=states.UNFINISHED, cancel_requested_at__isnull=False)
    for clip_id in asked.values_list("pk", flat=True)[:MOST_AT_ONCE]:
        outcome.cancel_if_idle(clip_id)


def settle_counts() -> None:
    """Go on with clips that have everything and still say that they render."""
    complete = Clip.objects.filter(
        status=ClipStatus.RUNNING, stage=ClipStage.RENDERING, fragments_done=F("fragments_total")
    )
    for clip_id in complete.values_list("pk", flat=True)[:MOST_AT_ONCE]:
        with transaction.atomic():
            outcome.advance(clip_id)


def settle_models() -> None:
    """End clips whose model is no part of the installation any more, once it stayed away for a while.

    While a clip renders nothing else waits for its `next_attempt_at`: it is when its model is given up.
    """
    now, known = timezone.now(), profiles.model_ids()
    rendering = _wanted(Clip.objects.filter(status=ClipStatus.RUNNING, stage=ClipStage.RENDERING))
    rendering.filter(model__in=known).exclude(next_attempt_at=None).update(next_attempt_at=None)
    gone = rendering.exclude(model__in=known)
    gone.filter(next_attempt_at=None).update(next_attempt_at=now + MODEL_GONE)
    for clip_id, model in gone.filter(next_attempt_at__lte=now).values_list("pk", "model")[:MOST_AT_ONCE]:
        if outcome.fail(
            clip_id, outcome.MODEL_NOT_AVAILABLE, f"This installation has no model {model} any more."
        ):
            _log.warning("%s ends: its model %s is gone", clip_id, model)


def send_speech() -> int:
    clips = _wanted(Clip.objects.filter(stage__in=("", ClipStage.SPEECH)))
    return _send_clips(clips, dispatch.SPEAK, dispatch.SPEECH_QUEUE)


def send_assemblies() -> int:
    clips = _wanted(Clip.objects.filter(stage=ClipStage.ASSEMBLING))
    return _send_clips(clips, dispatch.ASSEMBLE, dispatch.MEDIA_QUEUE)


def _wanted(clips: QuerySet[Clip]) -> QuerySet[Clip]:
    return clips.filter(status__in=states.UNFINISHED, cancel_requested_at=None)


def _send_clips(clips: QuerySet[Clip], task: str, queue: str) -> int:
    send = {dispatch.SPEAK: dispatch.speak, dispatch.ASSEMBLE: dispatch.assemble}[task]
    stale = clips.filter(_stale())
    waiting = _waiting(queue) if stale.exists() else None
    if waiting is None:
        return 0
    sent = 0
    for clip in stale.order_by("created_at")[:MOST_AT_ONCE]:
        if dispatch.identity(task, clip.pk) in waiting:
            continue
        with transaction.atomic():
            rows = Clip.objects.filter(free(), pk=clip.pk, enqueued_at=clip.enqueued_at)
            if rows.update(enqueued_at=timezone.now()):
                _log.info("%s of %s is sent again", task, clip.pk)
                send(clip.pk)
                sent += 1
    return sent


def send_fragments() -> int:
    fragments = ClipFragment.objects.filter(
        _stale(),
        status__in=(FragmentStatus.PENDING, FragmentStatus.RUNNING),
        clip__status=ClipStatus.RUNNING,
        clip__cancel_requested_at=None,
        clip__model__in=_stateless(),
    )
    # The queues are asked before the rows: what is taken from a queue in between is seen as held.
    waiting = _waiting_of(fragments.order_by().values_list("clip__model", flat=True).distinct())
    sent = 0
    for fragment in fragments.select_related("clip").order_by("clip__created_at", "index")[:MOST_AT_ONCE]:
        queue = profiles.load_profile(fragment.clip.model).queue
        name = dispatch.identity(dispatch.RENDER_FRAGMENT, fragment.clip_id, fragment.index)
        messages = waiting.get(queue)
        if messages is not None and name not in messages:
            sent += _send_fragment(fragment, queue)
    if sent:
        _log.info("%d fragments are sent again", sent)
    return sent


def _send_fragment(fragment: ClipFragment, queue: str) -> bool:
    with transaction.atomic():
        rows = ClipFragment.objects.filter(free(), pk=fragment.pk, enqueued_at=fragment.enqueued_at)
        ours = rows.exclude(status=FragmentStatus.DONE).update(enqueued_at=timezone.now())
        if ours:
            dispatch.render_fragment(fragment.clip_id, fragment.index, queue)
    return bool(ours)


def send_streams() -> int:
    """Send the clips of stateful models again, each as a whole."""
    undone = ClipFragment.objects.filter(clip=OuterRef("pk")).exclude(status=FragmentStatus.DONE)
    clips = Clip.objects.filter(
        Exists(undone),
        Q(stream__isnull=True) | Q(stream__in=ClipStream.objects.filter(_stale())),
        model__in=_stateful(),
        status=ClipStatus.RUNNING,
        cancel_requested_at=None,
    )
    waiting = _waiting_of(clips.order_by().values_list("model", flat=True).distinct())
    sent = 0
    for clip in clips.order_by("created_at")[:MOST_AT_ONCE]:
        queue = load_profile(clip.model).queue
        messages = waiting.get(queue)
        if messages is not None and dispatch.identity(dispatch.RENDER_STREAM, clip.pk) not in messages:
            sent += _send_stream(clip.pk, queue)
    return sent


def _send_stream(clip_id: str, queue: str) -> bool:
    with transaction.atomic():
        ClipStream.objects.get_or_create(clip_id=clip_id)
        ours = ClipStream.objects.filter(_stale(), pk=clip_id).update(enqueued_at=timezone.now())
        if ours:
            _log.info("the stream of %s is sent again", clip_id)
            dispatch.render_stream(clip_id, queue)
    return bool(ours)


def _stateless() -> list[str]:
    """By name: clips of a model whose file was taken away wait for `settle_models`, and hold up no others."""
    return [profile.id for profile in profiles.profiles() if profile.stateless]


def _stateful() -> list[str]:
    return [profile.id for profile in profiles.profiles() if not profile.stateless]


def _waiting_of(models: Iterable[str]) -> dict[str, set[tuple[str, ...]] | None]:
    """What waits in the queues of these models. Those of nobody's clips are not read: they may be long."""
    return {queue: _waiting(queue) for queue in {load_profile(model).queue for model in models}}


def _waiting(queue: str) -> set[tuple[str, ...]] | None:
    return None if dispatch.depth(queue) > CROWDED else dispatch.waiting(queue)


def _stale() -> Q:
    return free() & (Q(enqueued_at=None) | Q(enqueued_at__lt=timezone.now() - GRACE))
