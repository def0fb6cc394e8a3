"""What a session keeps of the figures that its turns tell."""

from types import SimpleNamespace
from typing import Any, cast

from sessions.hosting import Standing
from sessions.runtime.host import Facts, LiveSession, Office, Parts
from sessions.runtime.timers import Timers


def test_a_session_keeps_the_last_figures_and_nothing_that_belongs_to_one_turn() -> None:
    noted: list[Any] = []
    told: list[dict[str, Any]] = []
    office = cast("Office", SimpleNamespace(note=noted.append))
    facts = Facts("ses_1", fence=1, may_say=False, public={})
    session = LiveSession(facts, office, cast("Timers", None), cast("Standing", None))
    session.parts = cast("Parts", SimpleNamespace(log=SimpleNamespace(add=told.append)))
    event = {"type": "metrics", "turn": 2, "response_ms": 900, "stages": [{}], "tools": [{}], "topic": "x"}
    session.emit(event)
    assert session.metrics == {"response_ms": 900}
    assert noted == [session]
    assert told == [event], "who listens is told all of it"
