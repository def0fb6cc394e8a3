"""What events of a session add to the figures, and what the database tells."""

import pytest

from project.metrics import instruments
from sessions import figures


def seconds(histogram) -> float:
    return float(histogram._sum.get())


def test_the_stages_of_a_turn_are_kept_in_seconds():
    stages = {"llm_first_token": 0.25, "response": 0.9, "asr_final": 0.1}
    before = {stage: seconds(instruments.turn_stage.labels(stage)) for stage in stages}
    event = {"llm_first_token_ms": 250.0, "response_ms": 900, "asr_final_ms": 100.0, "render_fps": 80.0}
    figures.count({"type": "metrics", "turn": 2, **event})
    grown = {
        stage: round(seconds(instruments.turn_stage.labels(stage)) - before[stage], 6) for stage in stages
    }
    assert grown == stages


def test_a_first_picture_and_an_interruption_are_kept():
    before = seconds(instruments.webrtc_first_frame), seconds(instruments.interrupt)
    figures.count({"type": "metrics", "webrtc_first_frame_ms": 300})
    figures.count({"type": "metrics", "turn": 4, "interrupt_ms": 40})
    assert round(seconds(instruments.webrtc_first_frame) - before[0], 6) == 0.3
    assert round(seconds(instruments.interrupt) - before[1], 6) == 0.04


@pytest.mark.parametrize(("interrupted", "label"), [(True, "yes"), (False, "no")])
def test_turns_are_counted_when_they_end(interrupted, label):
    before = instruments.turns.labels(label)._value.get()
    figures.count({"type": "speech.ended", "turn": 2, "interrupted": interrupted, "heard_text": "Hello"})
    assert instruments.turns.labels(label)._value.get() == before + 1


@pytest.mark.django_db
def test_every_state_that_is_not_the_end_is_told():
    told = {
        (family.name, sample.labels["status"]): sample.value
        for family in figures.unfinished()
        for sample in family.samples
    }
    assert told == {
        ("parley_sessions", "created"): 0,
        ("parley_sessions", "queued"): 0,
        ("parley_sessions", "active"): 0,
        ("parley_recordings", "recording"): 0,
        ("parley_recordings", "assembling"): 0,
    }
