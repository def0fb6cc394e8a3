"""Figures of the whole service, for `/metrics`: queues, render workers, and clips that are not over."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from generation.avatars.models import Avatar, AvatarStatus
from generation.clips import states
from generation.clips.models import Clip
from project.metrics import instruments
from workers import dispatch, presence, profiles
from workers.live.slots import slots_held
from workers.presence import Worker

OWN = "worker"
"""All queues of single render workers together: their names are no label."""


def clip_ended(clip: Clip) -> None:
    """Count a clip that has just ended, and how long its stages took."""
    outcome = str(clip.status)
    if clip.finished_at is None:
        return
    instruments.clip_seconds.labels(outcome).observe(_between(clip.created_at, clip.finished_at))
    if clip.started_at is None:
        return
    stages = {"queued": _between(clip.created_at, clip.started_at)}
    for name, stage in (("speech_ms", "speech"), ("assembly_ms", "assembling")):
        if (took := clip.timings.get(name)) is not None:
            stages[stage] = took / 1000
    if outcome == "succeeded":  # it begins with the first sound, beside the rest of the speech
        whole = _between(clip.started_at, clip.finished_at)
        stages["rendering"] = max(0.0, whole - stages.get("assembling", 0.0))
    for stage, seconds in stages.items():
        instruments.clip_stage.labels(stage, outcome).observe(seconds)


def _between(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def queues() -> Iterable[Metric]:
    """How long each queue is, how old what waits longest in it is, and how many workers take from it."""
    here = presence.present()
    served = _served(here)
    waiting = dispatch.queued([*_names(), *(f"{presence.OWN}{worker.name}" for worker in here)])
    depth = GaugeMetricFamily("parley_queue_depth", "Tasks that wait in a queue", labels=["queue"])
    oldest = GaugeMetricFamily(
        "parley_queue_oldest_seconds", "Age of the task that has waited longest in a queue", labels=["queue"]
    )
    workers = GaugeMetricFamily("parley_workers", "Workers that take from a queue", labels=["queue"])
    depths: Counter[str] = Counter()
    ages: dict[str, float] = {}
    for queue, (count, age) in waiting.items():
        name = OWN if queue.startswith(presence.OWN) else queue
        depths[name] += count
        ages[name] = max(ages.get(name, 0.0), age)
    for name in sorted(ages):
        depth.add_metric([name], depths[name])
        oldest.add_metric([name], ages[name])
    for name in _names():
        workers.add_metric([name], served[name])
    if here:  # each takes from its own
        workers.add_metric([OWN], len(here))
    yield from (depth, oldest, workers, _slots(here))


def _names() -> list[str]:
    models = profiles.profiles()
    return [*dispatch.GENERAL_QUEUES, *(p.queue for p in models), *(p.live_queue for p in models)]


def _served(here: Iterable[Worker]) -> Counter[str]:
    return Counter(queue for worker in here for queue in worker.slots)


def _slots(here: Iterable[Worker]) -> Metric:
    """Slots of live rendering, of models that some worker draws."""
    slots = GaugeMetricFamily("parley_live_slots", "Slots of live rendering", labels=["model", "state"])
    for profile in profiles.profiles():
        total = sum(worker.slots.get(profile.live_queue, 0) for worker in here)
        if total:
            slots.add_metric([profile.id, "total"], total)
            slots.add_metric([profile.id, "taken"], slots_held(profile.live_queue))
    return slots


def unfinished() -> Iterable[Metric]:
    """Clips that are not over by state and stage, the age of the oldest, and avatars under way."""
    clips = GaugeMetricFamily("parley_clips", "Clips that are not over", labels=["status", "stage"])
    oldest = GaugeMetricFamily("parley_clips_oldest_seconds", "Age of the oldest clip that is not over")
    rows = Clip.objects.filter(status__in=states.UNFINISHED).values_list("status", "stage")
    now, first = timezone.now(), None
    for status, stage, count, begun in rows.annotate(Count("pk"), Min("created_at")).order_by():
        clips.add_metric([status, stage or "none"], count)
        first = begun if first is None else min(first, begun)
    oldest.add_metric([], 0.0 if first is None else _between(first, now))
    avatars = GaugeMetricFamily("parley_avatars_preparing", "Avatars that are made ready")
    avatars.add_metric([], Avatar.objects.filter(status=AvatarStatus.PREPARING).count())
    yield from (clips, oldest, avatars)
