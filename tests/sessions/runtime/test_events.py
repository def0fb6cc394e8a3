"""The numbered events of a session, and what a client that comes back is given."""

import json

from sessions.runtime.events import KEPT, LOST_MIRROR_GAP, EventLog, continued


class Timeline:
    """The session's time, moved by hand."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        return self.ms


def test_numbers_grow_by_one_and_carry_the_time_of_the_session() -> None:
    timeline = Timeline()
    log = EventLog(at_ms=timeline)
    first = log.add({"type": "session.state", "status": "active"})
    timeline.ms = 4280
    second = log.add({"type": "speech.started", "turn": 2})
    assert first == {"type": "session.state", "seq": 1, "at_ms": 0, "status": "active"}
    assert second == {"type": "speech.started", "seq": 2, "at_ms": 4280, "turn": 2}


def test_who_comes_back_is_told_what_was_missed_and_nothing_else() -> None:
    log = EventLog(at_ms=Timeline())
    for number in range(5):
        log.add({"type": "reply.delta", "text": str(number)})
    assert [event["seq"] for event in log.since(3)] == [4, 5]
    assert log.since(5) == []
    assert len(log.since(0)) == 5


def test_an_answer_to_one_socket_takes_a_number_but_is_not_told_again() -> None:
    mirrored: list[int] = []
    log = EventLog(at_ms=Timeline(), mirror=lambda seq, _: mirrored.append(seq))
    log.add({"type": "rtc.answer", "sdp": "v=0"})
    log.add({"type": "pong"})
    log.add({"type": "reply.delta", "text": "x"})
    assert log.seq == 3
    assert [event["type"] for event in log.since(0)] == ["reply.delta"]
    assert mirrored == [3]


def test_a_long_talk_keeps_only_its_newest_events() -> None:
    log = EventLog(at_ms=Timeline())
    for _ in range(KEPT + 7):
        log.add({"type": "reply.delta"})
    kept = log.since(0)
    assert len(kept) == KEPT
    assert kept[0]["seq"] == 8


def test_the_next_host_goes_on_from_what_the_last_one_mirrored() -> None:
    mirror: list[bytes] = []
    log = EventLog(at_ms=Timeline(), mirror=lambda _, event: mirror.append(event))
    for text in "abc":
        log.add({"type": "reply.delta", "text": text})
    kept = [json.loads(event) for event in mirror]
    next_log = EventLog(at_ms=Timeline(), seq=continued(kept, stored_seq=2), kept=kept)
    assert next_log.add({"type": "reply.delta"})["seq"] == 4
    assert [event["seq"] for event in next_log.since(1)] == [2, 3, 4]


def test_a_number_that_a_client_has_seen_is_not_used_again() -> None:
    log = EventLog(at_ms=Timeline(), seq=98)
    log.reach(100)
    assert log.add({"type": "session.state"})["seq"] == 101
    log.reach(50)
    log.reach(10**15)
    assert log.add({"type": "session.state"})["seq"] == 102


def test_a_lost_mirror_never_makes_a_number_come_twice() -> None:
    assert continued([], stored_seq=40) == 40 + LOST_MIRROR_GAP
    assert continued([], stored_seq=0) == 0
    assert continued([{"seq": 12}], stored_seq=20) == 20


def test_half_a_character_of_a_provider_is_told_and_kept_as_something_that_can_be_sent() -> None:
    mirrored: list[bytes] = []
    log = EventLog(at_ms=Timeline(), mirror=lambda _, event: mirrored.append(event))
    told = log.add({"type": "reply.delta", "text": "cut \ud83d"})
    assert told["text"] == "cut ?"
    assert json.loads(mirrored[0]) == told
    assert log.since(0) == [told]
    assert told["seq"] == log.seq == 1
