"""A run in which everything held, for tests that break one thing of it."""

import math

import numpy as np

from project.bench.client import Event
from project.bench.faults.batch import Accepted, Told
from project.bench.faults.films import Film
from project.bench.faults.invariants import Seen
from project.bench.faults.plan import Order
from project.bench.faults.talk import Asked, Stretch, Talk
from project.bench.media import Sound, Watcher

ORIGIN = 1_700_000_000.0
QUESTION, SENTENCE = "When are you open?", "From nine to six."
BEGAN, SPOKEN_AT = 100.0, 103.0  # monotonic seconds
FRAMES = 300


def loudness(seconds: float = 1.6) -> list[float]:
    """Speech: syllables of changing loudness, every 20 ms."""
    return [-20 + 12 * math.sin(step / 2.3) + 5 * math.sin(step / 7.1) for step in range(round(seconds * 50))]


def sounds(began: float = SPOKEN_AT) -> list[Sound]:
    return [
        Sound(began + number * 0.02, 48_000 + number * 960, 80, level, number)
        for number, level in enumerate(loudness())
    ]


def film(*, frames: int = 50, said_at: float | None = None) -> Film:
    levels = np.full(frames * 2, -60.0, np.float32)
    if said_at is not None:
        first = round(said_at * 50)
        levels[first : first + len(loudness())] = loudness()
    return Film(frames, 0, True, frames / 25, frames / 25, levels)


def talk() -> Talk:
    watcher = Watcher()
    watcher.sounds.extend(sounds())
    return Talk(
        id="ses_1",
        began=BEGAN,
        ended=BEGAN + 12,
        asked=[Asked(QUESTION, BEGAN + 2, answered=True)],
        stretches=[Stretch(watcher, BEGAN, BEGAN + 12)],
        events=[Event(SPOKEN_AT, "reply.utterance", {"seq": 7, "turn": 2, "text": SENTENCE})],
        seconds_to_wall=ORIGIN - BEGAN,
    )


def good() -> Seen:
    """Two clips (one canceled), one session with its recording, and nothing left over."""
    order = Order(0, "One.", "", "", None, 1)
    objects = {
        "clips/clip_1/fragments/000000.mp4": 10,
        "clips/clip_1/fragments/000001.mp4": 20,
        **{
            f"clips/clip_1/result/{name}": 1
            for name in ("video.mp4", "poster.jpg", "captions.srt", "captions.vtt")
        },
        "sessions/ses_1/recording/video.mp4": 99,
    }
    return Seen(
        accepted=[
            Accepted(order, 0.0, ["clip_1", "clip_1"], status="succeeded"),
            Accepted(Order(1, "Two.", "", "", 1.0, 0), 0.0, ["clip_2"], status="canceled", canceled=True),
        ],
        told={
            "clip_1": [Told("evt_1", "clip.succeeded", "clip_1", b"{}")],
            "clip_2": [Told("evt_2", "clip.canceled", "clip_2", b"{}")] * 2,  # told twice, with one id
        },
        films={"clip_1": film(), "ses_1": film(frames=FRAMES, said_at=SPOKEN_AT - BEGAN)},
        talks=[talk()],
        last_talk=talk(),
        facts={
            "clips": [_clip("clip_1", "succeeded"), _clip("clip_2", "canceled")],
            "fragments": [_fragment(0, 0, 25, 10), _fragment(1, 25, 25, 20)],
            "deliveries": [
                {
                    "id": "whd_1",
                    "event_id": "evt_1",
                    "event_type": "clip.succeeded",
                    "status": "succeeded",
                    "error": "",
                    "url": "http://127.0.0.1/hook",
                    "subject": "clip_1",
                }
            ],
            "sessions": [
                {"id": "ses_1", "status": "ended", "end_reason": "api_ended", "host": "", "origin": ORIGIN}
            ],
            "turns": [
                _turn(1, "user", QUESTION, 2000, 2000),
                _turn(2, "avatar", SENTENCE, 3000, 4600),
            ],
            "recordings": [
                {
                    "id": "rec_1",
                    "session_id": "ses_1",
                    "status": "ready",
                    "failure_code": "",
                    "duration_ms": FRAMES * 40,
                    "bytes": 99,
                    "key": "sessions/ses_1/recording/video.mp4",
                }
            ],
            "unfinished": [],
            "leases": [],
            "ids": {"clips": ["clip_1", "clip_2"], "sessions": ["ses_1"]},
            "objects": objects,
            "keys": [["live:events:ses_1", "stream", 30, 50], ["celery:_kombu.binding.speech", "set", 1, -1]],
            "queues": {"speech": 0, "media": 0},
        },
        status={"ready": True, "parts": {"web1": {"state": "ready"}, "migrate": {"state": "done"}}},
    )


def _clip(pk: str, status: str) -> dict[str, object]:
    made = status == "succeeded"
    results = {
        f"{name.partition('.')[0]}_key": f"clips/{pk}/result/{name}" if made else ""
        for name in ("video.mp4", "poster.jpg")
    }
    results |= {
        f"{kind}_key": f"clips/{pk}/result/captions.{kind}" if made else "" for kind in ("srt", "vtt")
    }
    return {
        "id": pk,
        "status": status,
        "stage": "",
        "failure_code": "",
        "fragments_total": 2,
        "fragments_done": 2 if made else 0,
        "duration_ms": 2000 if made else None,
        **results,
    }


def _fragment(index: int, start: int, frames: int, size: int) -> dict[str, object]:
    return {
        "clip_id": "clip_1",
        "index": index,
        "start_frame": start,
        "frames": frames,
        "status": "done",
        "key": f"clips/clip_1/fragments/{index:06d}.mp4",
        "bytes": size,
        "attempts": 1,
    }


def _turn(number: int, who: str, text: str, start: int, end: int) -> dict[str, object]:
    return {
        "session_id": "ses_1",
        "number": number,
        "who": who,
        "source": "text",
        "status": "done",
        "text": text,
        "heard_text": text,
        "start_ms": start,
        "end_ms": end,
        "interrupted": False,
    }
