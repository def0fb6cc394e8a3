"""Figures of all live sessions, for `/metrics`: what the database knows, whoever hosts them."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Count
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from project.metrics import instruments
from sessions import states
from sessions.models import Recording, RecordingStatus, Session

_STAGES = {
    "asr_partial_latency_ms": "asr_partial",
    "asr_final_ms": "asr_final",
    "retrieval_ms": "retrieval",
    "llm_first_token_ms": "llm_first_token",
    "tts_first_pcm_ms": "tts_first_pcm",
    "avatar_first_frame_ms": "avatar_first_frame",
    "first_audible_ms": "first_audible",
    "response_ms": "response",
}


def count(event: dict[str, Any]) -> None:
    """Count what an event of a session tells of its turn, or of its first picture."""
    if event["type"] == "speech.ended":
        instruments.turns.labels("yes" if event["interrupted"] else "no").inc()
        return
    for name, stage in _STAGES.items():
        if (took := event.get(name)) is not None:
            instruments.turn_stage.labels(stage).observe(took / 1000)
    if (took := event.get("webrtc_first_frame_ms")) is not None:
        instruments.webrtc_first_frame.observe(took / 1000)
    if (took := event.get("interrupt_ms")) is not None:
        instruments.interrupt.observe(took / 1000)


def unfinished() -> Iterable[Metric]:
    """Sessions and recordings that are not over, by their states."""
    sessions = GaugeMetricFamily("parley_sessions", "Sessions that are not over", labels=["status"])
    found = Session.objects.filter(status__in=states.UNFINISHED).values_list("status")
    counted = dict(found.annotate(Count("pk")).order_by())
    for status in sorted(states.UNFINISHED):
        sessions.add_metric([str(status)], counted.get(status, 0))
    yield sessions
    under_way = (RecordingStatus.RECORDING, RecordingStatus.ASSEMBLING)
    recordings = GaugeMetricFamily("parley_recordings", "Recordings under way", labels=["status"])
    rows = Recording.objects.filter(status__in=under_way).values_list("status")
    counted = dict(rows.annotate(Count("pk")).order_by())
    for status in under_way:
        recordings.add_metric([str(status)], counted.get(status, 0))
    yield recordings
