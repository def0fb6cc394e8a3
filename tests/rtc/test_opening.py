"""What a new client is shown first."""

from rtc.frames import AccessUnit, Tick
from rtc.opening import MAX_PICTURES, Opening

COMFORT = (b"a", b"b")


def tick(frame: int, *, keyframe: bool) -> Tick:
    return Tick(frame, AccessUnit(b"%d" % frame, keyframe), COMFORT, 0, speaking=False)


def shown(opening: Opening, now: float) -> list[tuple[str, int]]:
    return [(unit.data.decode(), time) for unit, time in opening.pictures(now)]


def test_it_is_the_last_key_frame_and_what_came_since_just_before_now() -> None:
    opening = Opening()
    for frame in range(10, 18):
        opening.presented(tick(frame, keyframe=frame in (10, 15)), now=frame * 0.04)
    assert shown(opening, 17 * 0.04 + 0.010) == [
        ("15", 17 * 3600 + 900 - 180),
        ("16", 17 * 3600 + 900 - 90),
        ("17", 17 * 3600 + 900),
    ]


def test_its_times_lie_between_this_frame_and_the_next() -> None:
    opening = Opening()
    opening.presented(tick(5, keyframe=True), now=1.0)
    ((_, time),) = shown(opening, 1.039)
    assert 5 * 3600 <= time < 6 * 3600


def test_there_is_nothing_before_a_key_frame_or_after_a_stall() -> None:
    opening = Opening()
    assert shown(opening, 0.0) == []
    opening.presented(tick(1, keyframe=False), now=1.0)
    assert shown(opening, 1.0) == []
    opening.presented(tick(2, keyframe=True), now=1.04)
    assert shown(opening, 2.0) == []


def test_a_long_way_from_a_key_frame_is_not_worth_the_burst() -> None:
    opening = Opening()
    for frame in range(MAX_PICTURES + 1):
        opening.presented(tick(frame, keyframe=frame == 0), now=frame * 0.04)
    assert shown(opening, MAX_PICTURES * 0.04) == []
