"""What leaves at each frame, told by a clock that the test moves."""

import pytest

from rtc.comfort import COMFORT
from rtc.frames import AccessUnit, IdleLoop, PlayedRun, Position, Segment
from rtc.playout import RUN_FRAMES, Playout
from tests.rtc.cast import LOOP_FRAMES, Told, idle_loop, pictures, playing, segment


@pytest.fixture
def told() -> Told:
    return Told()


def test_silence_is_the_loop_over_comfort_sound(told):
    playout = playing(told)

    ticks = [playout.tick(frame) for frame in range(LOOP_FRAMES + 2)]

    assert [tick.video.data.decode() for tick in ticks[-3:]] == ["idle:49", "idle:0", "idle:1"]
    assert {tick.audio for tick in ticks} == {COMFORT}
    assert not any(tick.speaking for tick in ticks)
    assert told.events == []


def test_each_picture_leaves_with_its_own_sound(told):
    playout = playing(told, segment(frames=3, last=True))

    ticks = [playout.tick(frame) for frame in range(3)]

    assert [tick.video.data for tick in ticks] == [b"speech:0:0:0:%d" % n for n in range(3)]
    assert [tick.audio for tick in ticks] == [
        (b"sound:0:0:0:%d" % n, b"sound:0:0:0:%d" % (n + 1)) for n in (0, 2, 4)
    ]


def test_utterances_follow_each_other_without_idle(told):
    playout = playing(told, segment(0, 0), segment(0, 1, frames=2, last=True), segment(1, 0, last=True))

    shown = pictures(playout, 13)

    assert shown[4:8] == ["speech:0:0:0:4", "speech:0:0:1:0", "speech:0:0:1:1", "speech:0:1:0:0"]
    assert shown[12] == "idle:5"
    assert told.events == [
        ("started", 0, 0, 0),
        ("ended", 0, 0, 7, 7 * 1920, False),
        ("started", 0, 1, 7),
        ("ended", 0, 1, 12, 5 * 1920, False),
    ]


def test_segments_may_arrive_in_any_order_and_twice(told):
    playout = playing(told, segment(0, 1, last=True), segment(0, 0))

    assert not playout.push(segment(0, 0))
    playout.tick(0)
    assert not playout.push(segment(0, 0)), "it is on the air"
    assert pictures(playout, 9)[-1] == "speech:0:0:1:4"
    assert not playout.push(segment(0, 1)), "it was played"
    assert playout.queued_frames() == 0


def test_a_segment_that_is_missing_holds_up_those_behind_it(told):
    playout = playing(told, segment(0, 1, last=True))

    assert pictures(playout, 2) == ["idle:0", "idle:1"]
    playout.push(segment(0, 0))
    assert pictures(playout, 6)[-1] == "speech:0:0:1:0"


def test_an_interrupt_is_silent_from_the_next_frame_on(told):
    playout = playing(told, segment(0, 0, phase=11, frames=20), segment(0, 1))
    pictures(playout, 7)

    assert playout.interrupt() == 1
    tick = playout.tick(7)

    # The motion had come to phase 18.
    assert (tick.video.data, tick.video.keyframe) == (b"idle:20", True)
    assert tick.audio == COMFORT
    assert told.events[-1] == ("ended", 0, 0, 7, 7 * 1920, True)
    assert playout.queued_frames() == 0
    assert not playout.push(segment(0, 2)), "its epoch is over"


def test_the_reply_after_an_interrupt_waits_for_one_silent_frame(told):
    """Its encoder began after silence."""
    playout = playing(told, segment(0, 0, frames=20))
    pictures(playout, 3)

    playout.push(segment(0, 0, epoch=playout.interrupt()))

    assert pictures(playout, 2) == ["idle:5", "speech:1:0:0:0"]


def test_an_interrupt_of_nothing_leaves_the_loop_alone(told):
    playout = playing(told)
    pictures(playout, 3)

    playout.interrupt()

    assert pictures(playout, 2) == ["idle:3", "idle:4"]
    assert told.events == []


def test_an_utterance_that_was_presented_whole_was_not_interrupted(told):
    playout = playing(told, segment(frames=4, last=True))
    pictures(playout, 4)

    playout.interrupt()

    assert told.events[-1] == ("ended", 0, 0, 4, 4 * 1920, False)


def test_an_underrun_idles_until_the_next_segment_comes(told):
    playout = playing(told, segment(0, 0, phase=3))

    shown = pictures(playout, 8)
    assert shown[5:] == ["idle:10", "idle:11", "idle:12"]
    assert playout.speaking
    assert playout.position() == Position(0, 0, 5 * 1920)

    playout.push(segment(0, 1, phase=8, last=True))
    assert pictures(playout, 1) == ["speech:0:0:1:0"]
    assert told.events == [("started", 0, 0, 0), ("underrun", 0, 0, 5), ("resumed", 0, 0, 8)]


def test_a_pause_between_utterances_is_no_underrun(told):
    playout = playing(told, segment(0, 0, last=True))

    pictures(playout, 8)
    playout.push(segment(1, 0))
    pictures(playout, 1)

    assert [event[0] for event in told.events] == ["started", "ended", "started"]


@pytest.mark.parametrize("ahead", [0, 1, 3, LOOP_FRAMES - 1])
def test_speech_begins_at_the_next_frame_wherever_its_motion_is(told, ahead):
    playout = playing(told)
    pictures(playout, 6)

    playout.push(segment(phase=6 + ahead))

    assert pictures(playout, 1) == ["speech:0:0:0:0"]


def test_a_stall_shifts_sound_and_pictures_alike(told):
    playout = playing(told, segment(frames=10, last=True))
    pictures(playout, 4)

    tick = playout.tick(54)

    assert (tick.frame, tick.video.data) == (54, b"speech:0:0:0:4")
    assert tick.audio == (b"sound:0:0:0:8", b"sound:0:0:0:9")
    assert playout.position() == Position(0, 0, 5 * 1920)
    pictures(playout, 6)
    assert told.events[-1] == ("ended", 0, 0, 60, 10 * 1920, False)


def test_a_stall_does_not_move_the_loop(told):
    playout = playing(told)
    pictures(playout, 4)

    assert playout.tick(100).video.data == b"idle:4"


def test_a_frame_that_is_over_is_refused(told):
    playout = playing(told)
    playout.tick(7)

    with pytest.raises(ValueError, match="frame 7 is over"):
        playout.tick(7)


def test_speech_that_is_held_plays_again_from_a_picture_that_can_be_decoded(told):
    playout = playing(told, segment(0, 0), segment(0, 1, frames=10, last=True))
    pictures(playout, 8)

    playout.hold(True)
    assert pictures(playout, 2) == ["idle:5", "idle:6"]
    assert playout.position() == Position(0, 0, 5 * 1920)
    playout.hold(False)

    assert pictures(playout, 1) == ["speech:0:0:1:0"]
    assert [event[0] for event in told.events] == ["started"]


def test_a_segment_that_ended_before_the_hold_is_not_played_again(told):
    playout = playing(told, segment(0, 0, last=True))
    pictures(playout, 5)

    playout.hold(True)
    playout.hold(False)

    assert pictures(playout, 1) == ["idle:5"]
    assert [event[0] for event in told.events] == ["started", "ended"]


def test_a_new_viewer_gets_a_picture_to_start_from(told):
    playout = playing(told)
    pictures(playout, 8)

    playout.refresh()

    assert playout.tick(8).video.keyframe


def test_another_rendition_begins_at_its_next_key_frame(told):
    playout = playing(told)
    pictures(playout, 3)

    playout.replace_idle(idle_loop(name="low"))

    assert pictures(playout, 4) == ["idle:3", "idle:4", "low:5", "low:6"]


def test_another_rendition_is_entered_after_speech_as_well(told):
    playout = playing(told, segment(last=True))
    pictures(playout, 5)

    playout.replace_idle(idle_loop(name="low"))

    assert pictures(playout, 1) == ["low:5"]


def test_the_motion_goes_on_past_the_end_of_the_loop(told):
    playout = playing(told, segment(phase=LOOP_FRAMES - 2, last=True))

    pictures(playout, 5)

    assert playout.phase == 3
    assert pictures(playout, 1) == ["idle:5"]


def test_what_was_played_is_told_in_runs(told):
    playout = playing(
        told, segment(0, 0, frames=6, tag="a"), segment(0, 1, phase=6, frames=9, last=True, tag="b")
    )
    pictures(playout, 10)
    playout.tick(20)
    playout.interrupt()
    pictures(playout, 2)
    playout.flush()

    assert told.runs == [
        PlayedRun(0, 6, "speech", 0, "a", 0),
        PlayedRun(6, 4, "speech", 0, "b", 0),
        PlayedRun(20, 1, "speech", 4, "b", 0),
        PlayedRun(21, 2, "idle", 10, None, 1),
    ]


def test_long_runs_are_told_in_parts(told):
    playout = playing(told, idle=idle_loop(500))

    pictures(playout, 2 * RUN_FRAMES + 1)

    assert told.runs == [
        PlayedRun(0, RUN_FRAMES, "idle", 0, None, 0),
        PlayedRun(RUN_FRAMES, RUN_FRAMES, "idle", RUN_FRAMES, None, 0),
    ]


def test_the_loop_starts_a_new_run_each_time_round(told):
    playout = playing(told, idle=idle_loop(10))

    pictures(playout, 13)
    playout.flush()

    assert [(run.frame, run.frames, run.offset) for run in told.runs] == [(0, 10, 0), (10, 3, 0)]


def test_a_flush_in_the_middle_of_a_run_tells_no_frame_twice(told):
    playout = playing(told)
    pictures(playout, 4)

    playout.flush()
    playout.flush()
    pictures(playout, 3)
    playout.flush()

    assert [(run.frame, run.frames, run.offset) for run in told.runs] == [(0, 4, 0), (4, 3, 4)]


def test_a_new_host_goes_on_from_a_later_frame(told):
    playout = Playout(idle_loop(), listener=told, first_frame=1000)

    assert playout.tick(1000).video.keyframe
    with pytest.raises(ValueError, match="is over"):
        playout.tick(999)


def test_parts_that_do_not_belong_together_are_refused():
    key, other = AccessUnit(b"", keyframe=True), AccessUnit(b"", keyframe=False)

    with pytest.raises(ValueError, match="IDR"):
        IdleLoop((other, key))
    with pytest.raises(ValueError, match="IDR"):
        Segment(0, 0, 0, 0, (other,), (b"", b""), last=True)
    with pytest.raises(ValueError, match="3 packets"):
        Segment(0, 0, 0, 0, (key, other), (b"", b"", b""), last=True)


def test_the_nearest_entry_is_never_more_than_two_frames_away():
    loop = idle_loop()

    for phase in range(-7, 3 * LOOP_FRAMES):
        away = (loop.entry(phase) - phase) % LOOP_FRAMES
        assert min(away, LOOP_FRAMES - away) <= 2
