"""What a session is doing, in one word."""

from itertools import product

import pytest

from sessions.pipeline.phases import Phases


def _phases() -> tuple[Phases, list[str]]:
    told: list[str] = []
    return Phases(told.append), told


@pytest.mark.parametrize(("user", "thinks", "speaks"), list(product((False, True), repeat=3)))
def test_the_avatars_voice_comes_first_then_the_users_then_thought(user, thinks, speaks):
    phases, _ = _phases()
    phases.user(speaks=user)
    phases.avatar(thinks=thinks, speaks=speaks)
    expected = "speaking" if speaks else "listening" if user else "thinking" if thinks else "idle"
    assert phases.phase == expected


def test_only_changes_are_told():
    phases, told = _phases()
    phases.avatar()
    phases.user(speaks=True)
    phases.user(speaks=True)
    phases.avatar(thinks=True)
    phases.user(speaks=False)
    assert told == ["listening", "thinking"]


def test_changes_made_together_are_one():
    phases, told = _phases()
    phases.avatar(speaks=True)
    with phases.together():
        phases.avatar()
        with phases.together():
            phases.user(speaks=True)
        phases.user(speaks=False)
        phases.avatar(thinks=True)
    assert told == ["speaking", "thinking"]
