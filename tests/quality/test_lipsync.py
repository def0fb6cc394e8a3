"""Whole videos, judged as they are shipped. Run with `pytest -m quality`."""

import numpy as np
import pytest

from tests.quality.judge import ASTRONAUT, Verdict, judge, portrait, render
from tests.quality.landmarkers import mesh
from tests.quality.speech import FEMALE, MALE, Speech, settled, speech

pytestmark = [pytest.mark.quality, pytest.mark.timeout(300)]

CASES = [("lena", FEMALE), (ASTRONAUT, FEMALE), ("martin", MALE), ("lena", MALE)]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def verdict(request: pytest.FixtureRequest) -> Verdict:
    name, voice = request.param
    said = speech(voice)
    return judge(render(portrait(name), said, with_phones=True), said)


def test_the_mouth_follows_the_sound(verdict: Verdict) -> None:
    assert verdict.correlation >= 0.85
    assert abs(verdict.lag) <= 1


def test_the_mouth_does_not_follow_another_sound(verdict: Verdict) -> None:
    assert verdict.reversed < 0.4


def test_the_mouth_closes_in_pauses(verdict: Verdict) -> None:
    assert verdict.paused <= 0.015
    assert verdict.paused <= verdict.speaking / 3


def test_lips_close_for_m_b_and_p(verdict: Verdict) -> None:
    assert verdict.closed >= 0.80


def test_u_is_rounder_than_i(verdict: Verdict) -> None:
    assert verdict.width_u < verdict.width_i


def test_what_does_not_move_stays_as_it_is(verdict: Verdict) -> None:
    assert verdict.still_psnr >= 38


def test_loudness_alone_drives_the_mouth_where_no_phones_are_timed() -> None:
    said = speech(FEMALE)
    found = judge(render(portrait("lena"), said, with_phones=False), said)
    assert found.correlation >= 0.85
    assert found.paused <= 0.015


def test_the_judge_fails_a_mouth_that_is_late_and_one_that_never_closes() -> None:
    said = speech(MALE)
    late = Speech(np.roll(said.pcm, 640 * 3), (), np.roll(said.paused, 3))
    video = render(portrait("martin"), late, with_phones=False)
    assert judge(video, said).lag == 3
    opening = np.array([mesh()(frame).opening for frame, _ in zip(video.frames(), range(20), strict=False)])
    assert opening[settled(late.paused)[:20]].max() < 0.015
