"""What is shown, from what was played: nothing that a decoder could not show, nothing missing."""

from hypothesis import given
from hypothesis import strategies as st

from sessions.recording.parts import Run
from sessions.recording.timeline import IDLE, LOOP, Cutter, Played, Shot, Source, end_of, in_order

KEYFRAMES = [number % 5 == 0 for number in range(20)]
TAKE = Source(1, 0)


def idle(frame: int, frames: int, phase: int, fence: int = 1) -> Played:
    return Played(fence, Run(frame, frames, IDLE, phase))


def speech(frame: int, frames: int, take: int = 0, offset: int = 0, fence: int = 1) -> Played:
    return Played(fence, Run(frame, frames, take, offset))


def shots(*played: Played, takes: dict[Source, int] | None = None) -> list[Shot]:
    return Cutter(KEYFRAMES, {TAKE: 10} if takes is None else takes).cut(in_order(played))


def test_runs_of_one_source_are_one_shot():
    assert shots(idle(0, 4, 0), idle(4, 6, 4)) == [Shot(LOOP, 0, 10)]


def test_the_loop_begins_again():
    assert shots(idle(0, 20, 0), idle(20, 5, 0)) == [Shot(LOOP, 0, 20), Shot(LOOP, 0, 5)]


def test_a_fragment_is_cut_where_it_was_interrupted():
    assert shots(idle(0, 5, 0), speech(5, 7), idle(12, 3, 10)) == [
        Shot(LOOP, 0, 5),
        Shot(TAKE, 0, 7),
        Shot(LOOP, 10, 3),
    ]


def test_a_stall_holds_the_picture_that_was_seen():
    assert shots(speech(0, 4), speech(54, 6, offset=4)) == [Shot(TAKE, 0, 10, {3: 50})]
    assert shots(idle(0, 3, 5), idle(10, 4, 8)) == [Shot(LOOP, 5, 7, {2: 7})]


def test_two_stalls_at_one_picture_add_up():
    assert shots(speech(0, 4), speech(6, 1, offset=4), speech(8, 5, offset=5)) == [
        Shot(TAKE, 0, 10, {3: 2, 4: 1})
    ]


def test_the_time_without_a_host_is_filled_with_the_loop():
    """The next one began anew at frame 50."""
    assert shots(speech(0, 4), idle(50, 5, 0, fence=2)) == [
        Shot(TAKE, 0, 4),
        Shot(LOOP, 5, 15),
        Shot(LOOP, 0, 20),
        Shot(LOOP, 0, 11),
        Shot(LOOP, 0, 5),
    ]


def test_what_came_before_the_first_run_is_filled():
    assert shots(idle(3, 5, 0)) == [Shot(LOOP, 0, 3), Shot(LOOP, 0, 5)]


def test_a_host_that_came_later_is_right():
    """The older one did not know yet that it had lost the session."""
    told = in_order([idle(0, 10, 0), idle(10, 10, 10), idle(12, 5, 0, fence=2), speech(15, 4)])

    assert [(each.fence, each.run.frame, each.run.frames) for each in told] == [
        (1, 0, 10),
        (1, 10, 2),
        (2, 12, 5),
    ]


def test_what_a_host_with_a_late_clock_tells_of_before_the_beginning_is_left_out():
    assert shots(idle(-3, 8, 5, fence=2), speech(5, 4, fence=2), takes={Source(2, 0): 10}) == [
        Shot(LOOP, 10, 5),
        Shot(Source(2, 0), 0, 4),
    ]
    assert shots(idle(-9, 4, 0), idle(-5, 5, 0)) == []


def test_a_fragment_that_was_lost_is_filled_with_the_loop():
    assert shots(idle(0, 5, 0), speech(5, 7), idle(12, 3, 10), takes={}) == [
        Shot(LOOP, 0, 5),
        Shot(LOOP, 5, 7),
        Shot(LOOP, 10, 3),
    ]


def test_a_fragment_whose_start_was_lost_is_filled_as_well():
    assert shots(speech(5, 5, offset=5)) == [Shot(LOOP, 0, 5), Shot(LOOP, 5, 5)]


def test_a_fragment_with_too_few_pictures_is_not_used():
    assert shots(speech(0, 11)) == [Shot(LOOP, 0, 11)]


@st.composite
def tellings(draw) -> list[Played]:
    """Whatever hosts may write down, and what may be missing of it."""
    told, frame = [], 0
    for fence in (1, 2):
        frame += draw(st.integers(0, 40))
        for _ in range(draw(st.integers(0, 8))):
            frame += draw(st.sampled_from((0, 0, 0, 3)))
            frames = draw(st.integers(1, 12))
            take = draw(st.sampled_from((IDLE, IDLE, 0, 1)))
            offset = draw(st.integers(0, 20 - frames)) if take == IDLE else draw(st.sampled_from((0, 4)))
            told.append(Played(fence, Run(frame, frames, take, offset)))
            frame += frames
        frame -= draw(st.integers(0, 10))
    return told


@given(tellings())
def test_every_shot_can_be_decoded_and_none_is_missing(told):
    takes = {Source(1, 0): 10, Source(2, 1): 16}
    runs = in_order(told)
    made = Cutter(KEYFRAMES, takes).cut(runs)

    assert sum(shot.shown for shot in made) == end_of(runs)
    for shot in made:
        assert KEYFRAMES[shot.first] if shot.source == LOOP else shot.first == 0
        assert shot.first + shot.frames <= (20 if shot.source == LOOP else takes[shot.source])
        assert all(0 <= picture < shot.frames for picture in shot.held)
