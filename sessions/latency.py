"""Where the time of a conversation went: each answer's waterfall, and what is usual over all of them."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from sessions.models import Session, Speaker, Turn

MOST_TURNS = 200

# name -> unit; in the order in which they matter to somebody who waits.
FIGURES = {
    "response_ms": "ms",
    "first_audible_ms": "ms",
    "asr_partial_latency_ms": "ms",
    "endpoint_ms": "ms",
    "asr_final_ms": "ms",
    "retrieval_ms": "ms",
    "llm_first_token_ms": "ms",
    "first_piece_ms": "ms",
    "tts_first_pcm_ms": "ms",
    "avatar_first_frame_ms": "ms",
    "first_segment_ms": "ms",
    "interrupt_ms": "ms",
    "steady_chunk_ms": "ms",
    "render_queue_ms": "ms",
    "render_fps": "fps",
    "queue_depth": "fragments",
    "underruns": "times",
    "av_drift_ms": "ms",
    "rtt_ms": "ms",
    "webrtc_first_frame_ms": "ms",
}
# What a session is measured for once, not with each answer.
_OF_THE_SESSION = ("webrtc_first_frame_ms",)
_ASKED = ("retrieval", "llm", "sentence", "tts", "render", "playout")


def latency(session: Session) -> dict[str, Any]:
    """Return the figures of a session and the waterfalls of its newest answers, in order."""
    rows = Turn.objects.filter(session=session, who=Speaker.AVATAR).exclude(metrics={})
    newest = rows.order_by("-number").only("number", "source", "status", "interrupted", "start_ms", "metrics")
    turns = [_turn(row) for row in reversed(newest[:MOST_TURNS])]
    measured = [turn["figures"] for turn in turns] + [_known(session.metrics, _OF_THE_SESSION)]
    return {
        "session": session.pk,
        "status": session.status,
        "measured_turns": rows.count(),
        "figures": [made for name in FIGURES if (made := _summary(name, measured)) is not None],
        "turns": turns,
    }


def waits(metrics: dict[str, Any], stages: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """Divide the wait for the first sound of an answer by what was waited for.

    The parts add up to `response_ms`, of a turn that nobody spoke to `first_audible_ms`; empty for an answer
    that was not heard.

    >>> waits({"response_ms": 900, "first_audible_ms": 500, "llm_first_token_ms": 100, "first_piece_ms": 250,
    ...        "tts_first_pcm_ms": 80, "first_segment_ms": 480})  # doctest: +NORMALIZE_WHITESPACE
    [{'name': 'listening', 'ms': 400}, {'name': 'llm', 'ms': 100}, {'name': 'sentence', 'ms': 150},
     {'name': 'tts', 'ms': 80}, {'name': 'render', 'ms': 150}, {'name': 'playout', 'ms': 20}]
    """
    heard = _number(metrics.get("first_audible_ms"))
    if heard is None:
        return []
    before = max(0.0, (_number(metrics.get("response_ms")) or heard) - heard)
    listened = _recognised(stages) if not before else 0.0
    parts = [("listening", before + listened)]
    moments = [listened, *_moments(metrics, listened), heard]
    last = listened
    reached = [last := min(max(last, moment), heard) for moment in moments]
    parts += zip(_ASKED, (after - since for since, after in pairwise(reached)), strict=True)
    return [{"name": name, "ms": round(ms)} for name, ms in parts if round(ms)]


def _moments(metrics: dict[str, Any], asked: float) -> list[float]:
    """When each thing that is waited for was there (ms from the question); the unknown took no time."""
    known = {name: _number(metrics.get(name)) for name in FIGURES}
    looked_up = asked + (known["retrieval_ms"] or 0.0)
    token = known["llm_first_token_ms"] or looked_up
    piece = known["first_piece_ms"] or token
    spoken = piece + (known["tts_first_pcm_ms"] or 0.0)
    return [looked_up, token, piece, spoken, known["first_segment_ms"] or spoken]


def _recognised(stages: Iterable[dict[str, Any]]) -> float:
    """Until when a recording was being understood, in ms from when it was handed in."""
    return max((float(one["to_ms"]) for one in stages if one["name"] == "asr"), default=0.0)


def _turn(row: Turn) -> dict[str, Any]:
    stages = row.metrics.get("stages") or []
    return {
        "turn": row.number,
        "source": row.source,
        "status": row.status,
        "interrupted": row.interrupted,
        "start_ms": row.start_ms,
        "figures": _known(row.metrics, FIGURES),
        "waits": waits(row.metrics, stages),
        "stages": stages,
    }


def _known(metrics: dict[str, Any], names: Iterable[str]) -> dict[str, float]:
    found = {name: _number(metrics.get(name)) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _summary(name: str, measured: Iterable[dict[str, float]]) -> dict[str, Any] | None:
    """What is usual of a figure. The 95th percentile is a value that was measured, never one between."""
    values = sorted(each[name] for each in measured if name in each)
    if not values:
        return None
    return {
        "name": name,
        "unit": FIGURES[name],
        "source": "server",
        "n": len(values),
        "median": round(median(values), 1),
        "min": values[0],
        "max": values[-1],
        "p95": values[math.ceil(0.95 * len(values)) - 1],
    }


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
