"""What a worker does with the streams of a stateful model: in order, one for each session, and given back."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import redis

from sessions import answers, rendering, streams, warming
from tests.support.live_worker import wish
from tests.support.objects import MemoryStore
from tests.support.stateful import CHUNK, MODEL, Deck, expected, lost, seen, tapes  # noqa: F401 - a fixture
from workers import presence
from workers.adapters.avatar.base import SAMPLES_PER_FRAME
from workers.live import wire
from workers.live.broker import broker as broker_of_workers
from workers.live.slots import HELD
from workers.live.wire import RenderReply, RenderRequest

SIDE = 160
KEY = "avatars/avt_1/v0001/bundle.bin"
LIVE = f"live.{MODEL}"
HERE = "render1@x"


@pytest.fixture
def deck(tapes: Deck, broker: "redis.Redis", monkeypatch: pytest.MonkeyPatch) -> Iterator[Deck]:  # noqa: F811
    """The model on a worker with room for two sessions."""
    memory = MemoryStore()
    monkeypatch.setattr("storage.s3._store", lambda endpoint, pid: memory)
    monkeypatch.setattr(warming, "_avatars", warming.Avatars())
    kept = streams.Streams()
    monkeypatch.setattr(streams, "kept", kept)
    memory.put_bytes(KEY, json.dumps({"width": SIDE, "height": SIDE}).encode(), "application/octet-stream")
    presence.announce(HERE, {LIVE: 2})
    yield tapes
    kept.close_all()


def sound(frames: int, seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(-9000, 9000, frames * SAMPLES_PER_FRAME, np.int16)


def ask(
    number: int, pcm: np.ndarray[Any, Any], *, session: str = "ses_1", epoch: int = 0, **more: Any
) -> RenderRequest:
    fields = wish(number, session=session, epoch=epoch, frames=len(pcm) // SAMPLES_PER_FRAME)
    now = time.time()
    known = {"model": MODEL, "width": SIDE, "height": SIDE, "bundle_key": KEY, "pcm16k": pcm.tobytes()}
    told: dict[str, Any] = {"incarnation": "one", "reply_to": f"live:replies:{session}", "crf": 23.0}
    return RenderRequest(**fields | known | told | {"published_at": now, "deadline_at": now + 5} | more)


def put(request: RenderRequest, worker: str = HERE) -> None:
    """Have a worker's thread take the request."""
    with contextlib.suppress(redis.RedisError):
        broker_of_workers().set(request.sound_key, request.pcm16k, ex=60)
    rendering.render(wire.dump_request(request), worker)


def replies(broker: "redis.Redis", session: str = "ses_1") -> list[RenderReply]:
    return [wire.load_reply(entry) for _, entry in broker.xrange(f"live:replies:{session}")]


def holds(broker: "redis.Redis", session: str, worker: str = HERE, *, seconds: float = 60) -> None:
    """Let a session hold a slot of this worker."""
    member = wire.member(session, "one")
    broker.zadd(f"{HELD}{LIVE}", {member: (time.time() + seconds) * 1000})
    broker.hset(f"{HELD}{LIVE}:owners", member, f"1|{worker}")


def test_fragments_of_a_session_go_on_with_each_other(deck: Deck, broker: "redis.Redis") -> None:
    pcm = sound(12, 1)
    for number in range(3):
        put(ask(number, pcm[number * 2560 : (number + 1) * 2560]))
    told = replies(broker)
    assert [(r.number, r.frames, r.seam, r.error_code) for r in told] == [(n, 4, False, "") for n in range(3)]
    assert [one for reply in told for one in seen(reply.data)] == expected(pcm, 1)


def test_the_last_chunk_is_filled_up_and_shown_as_far_as_there_is_sound(
    deck: Deck, broker: "redis.Redis"
) -> None:
    pcm = sound(6, 2)
    put(ask(0, pcm, first=True, last=True))
    (reply,) = replies(broker)
    assert (reply.frames, len(seen(reply.data))) == (6, 6)
    assert seen(reply.data) == expected(pcm, 1)
    (window,) = deck.tapes[0].windows
    assert (window.frames, window.visible, window.first, window.last, window.live) == (8, 6, True, True, True)
    assert not window.pcm[6 * SAMPLES_PER_FRAME :].any()
    assert deck.tapes[0].before == 8  # the stream got past what is not shown


def test_what_arrives_out_of_order_is_drawn_in_order(deck: Deck, broker: "redis.Redis") -> None:
    pcm = sound(12, 3)
    parts = [ask(n, pcm[n * 2560 : (n + 1) * 2560]) for n in range(3)]
    put(parts[2])
    put(parts[1])
    assert replies(broker) == []
    put(parts[0])
    assert [reply.number for reply in replies(broker)] == [0, 1, 2]
    assert [one for reply in replies(broker) for one in seen(reply.data)] == expected(pcm, 1)


def test_threads_that_take_requests_of_one_session_never_draw_at_once(
    deck: Deck, broker: "redis.Redis"
) -> None:
    pcm = sound(40, 4)
    parts = [ask(n, pcm[n * 2560 : (n + 1) * 2560]) for n in range(10)]
    threads = [threading.Thread(target=put, args=(part,)) for part in reversed(parts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [reply.number for reply in replies(broker)] == list(range(10))
    assert [one for reply in replies(broker) for one in seen(reply.data)] == expected(pcm, 1)


def test_a_fragment_that_is_asked_for_again_is_not_drawn_again(deck: Deck, broker: "redis.Redis") -> None:
    first = ask(0, sound(4, 5))
    put(first)
    put(replace(first, attempt=2))
    told = replies(broker)
    assert told[0].data == told[1].data
    assert [reply.attempt for reply in told] == [1, 2]
    assert len(deck.tapes[0].windows) == 1


def test_one_that_is_being_drawn_is_not_begun_twice(deck: Deck, broker: "redis.Redis") -> None:
    first = ask(0, sound(4, 6))
    deck.during = lambda tape, window: put(replace(first, attempt=2))
    put(first)
    assert len(replies(broker)) == 1
    assert len(deck.tapes[0].windows) == 1


def test_sessions_have_streams_of_their_own(deck: Deck, broker: "redis.Redis") -> None:
    for number in range(2):
        for place, session in enumerate(("ses_1", "ses_2")):
            put(ask(number, sound(4, 10 * place + number), session=session))
    for place, session in enumerate(("ses_1", "ses_2")):
        pcm = np.concatenate([sound(4, 10 * place + number) for number in range(2)])
        drawn = [one for reply in replies(broker, session) for one in seen(reply.data)]
        assert drawn == expected(pcm, place + 1)
        assert {reply.session for reply in replies(broker, session)} == {session}


def test_many_sessions_at_once_get_their_own_pictures_and_nobody_elses(
    deck: Deck, broker: "redis.Redis"
) -> None:
    names = [f"ses_{n}" for n in range(8)]
    jobs = [
        ask(number, sound(4, 100 * place + number), session=name)
        for number in range(4)
        for place, name in enumerate(names)
    ]
    turn = iter(jobs)
    lock = threading.Lock()

    def take() -> None:
        while True:
            with lock:
                job = next(turn, None)
            if job is None:
                return
            put(job)

    pool = [threading.Thread(target=take) for _ in range(4)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    whose = {}
    for place, name in enumerate(names):
        drawn = [one for reply in replies(broker, name) for one in seen(reply.data)]
        (whose[name],) = {one.stream for one in drawn}
        pcm = np.concatenate([sound(4, 100 * place + number) for number in range(4)])
        assert drawn == expected(pcm, whose[name])
    assert len(set(whose.values())) == len(names)


def test_another_host_of_a_session_gets_another_stream(deck: Deck, broker: "redis.Redis") -> None:
    put(ask(0, sound(4, 7)))
    put(ask(0, sound(4, 7), incarnation="two"))
    assert [seen(reply.data)[0].stream for reply in replies(broker)] == [1, 2]


def test_what_follows_an_interruption_begins_anew_on_the_same_stream(
    deck: Deck, broker: "redis.Redis"
) -> None:
    put(ask(0, sound(4, 8)))
    put(ask(0, sound(4, 9), epoch=1))
    put(ask(1, sound(4, 8)))  # of the epoch that is over
    told = replies(broker)
    assert [(reply.epoch, reply.seam) for reply in told] == [(0, False), (1, False)]
    assert seen(told[1].data) == expected(sound(4, 9), 1)
    assert deck.tapes[0].resets == 1


def test_an_interruption_in_the_middle_of_a_chunk_leaves_nothing_of_it(
    deck: Deck, broker: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LOOK_SECONDS", 0.0)
    first = ask(0, sound(4, 11))
    deck.during = lambda tape, window: broker.set(first.epoch_key, 0)
    put(first)
    deck.during = None
    assert replies(broker) == []
    put(ask(0, sound(4, 12), epoch=1))
    (reply,) = replies(broker)
    assert seen(reply.data) == expected(sound(4, 12), 1)
    assert not reply.seam


def test_after_an_error_the_stream_is_closed_and_another_goes_on(deck: Deck, broker: "redis.Redis") -> None:
    put(ask(0, sound(4, 13)))
    deck.errors = [lost()]
    put(ask(1, sound(4, 14)))
    put(ask(1, sound(4, 14), attempt=2))
    told = replies(broker)
    assert [(r.number, r.error_code, r.retryable, r.seam) for r in told] == [
        (0, "", False, False),
        (1, "model_lost", True, False),
        (1, "", False, True),
    ]
    assert seen(told[2].data) == expected(sound(4, 14), 2)
    assert [tape.closed for tape in deck.tapes] == [True, False]


def test_a_seam_that_the_stream_itself_tells_of_is_told(deck: Deck, broker: "redis.Redis") -> None:
    deck.during = lambda tape, window: (
        tape.seams.append(window.start_frame) if window.start_frame == 4 else None
    )
    for number in range(3):
        put(ask(number, sound(4, number), start_frame=4 * number))
    assert [reply.seam for reply in replies(broker)] == [False, True, False]


def test_a_session_that_moves_here_goes_on_with_what_it_has_not(deck: Deck, broker: "redis.Redis") -> None:
    put(ask(6, sound(4, 15), since=5))
    assert replies(broker) == []
    put(ask(5, sound(4, 16), since=5))
    told = replies(broker)
    assert [(reply.number, reply.seam) for reply in told] == [(5, True), (6, False)]
    pcm = np.concatenate((sound(4, 16), sound(4, 15)))
    assert [one for reply in told for one in seen(reply.data)] == expected(pcm, 1)


def test_the_stream_is_opened_before_the_first_words(deck: Deck, broker: "redis.Redis") -> None:
    put(ask(wire.OPENING, sound(0, 0), epoch=-1))
    (reply,) = replies(broker)
    assert (reply.number, reply.frames, reply.error_code) == (wire.OPENING, 0, "")
    assert (len(deck.open), deck.warmed) == (1, [True])
    put(ask(0, sound(4, 17)))
    assert seen(replies(broker)[1].data) == expected(sound(4, 17), 1)
    assert len(deck.tapes) == 1


def test_a_stream_that_cannot_be_opened_says_so_and_holds_nothing(deck: Deck, broker: "redis.Redis") -> None:
    deck.opening = [lost()]
    put(ask(wire.OPENING, sound(0, 0), epoch=-1))
    assert [(r.error_code, r.retryable) for r in replies(broker)] == [("model_lost", True)]
    assert deck.open == []


def test_a_stream_lives_as_long_as_its_session_holds_the_slot(
    deck: Deck, broker: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    holds(broker, "ses_1")
    put(ask(0, sound(4, 18)))
    streams.kept.look()
    assert len(deck.open) == 1
    monkeypatch.setattr(streams, "GRACE_SECONDS", 0.0)
    holds(broker, "ses_1", seconds=-1)
    streams.kept.look()
    assert deck.open == []
    assert len(streams.kept) == 0


def test_a_broker_that_forgot_who_holds_what_closes_nothing_at_once(
    deck: Deck, broker: "redis.Redis"
) -> None:
    put(ask(0, sound(4, 19)))
    broker.flushall()
    streams.kept.look()
    assert len(deck.open) == 1


def test_the_end_of_a_session_closes_its_stream_alone(deck: Deck, broker: "redis.Redis") -> None:
    for session in ("ses_1", "ses_2"):
        holds(broker, session)
        put(ask(0, sound(4, 20), session=session))
    broker.set(wire.epoch_key("ses_1", "one"), wire.EVERYTHING)
    streams.kept.look()
    assert [tape.number for tape in deck.open] == [2]


def test_a_stream_whose_session_moved_away_is_closed_and_draws_nothing(
    deck: Deck, broker: "redis.Redis"
) -> None:
    holds(broker, "ses_1")
    put(ask(0, sound(4, 21)))
    holds(broker, "ses_1", "render2@x")
    put(ask(1, sound(4, 22)))
    assert len(replies(broker)) == 1
    streams.kept.look()
    assert deck.open == []


def test_a_stream_that_is_drawing_is_closed_when_it_is_done(deck: Deck, broker: "redis.Redis") -> None:
    request = ask(0, sound(4, 23))

    def leave(tape: Any, window: Any) -> None:
        broker.set(request.epoch_key, wire.EVERYTHING)
        streams.kept.look()
        assert not tape.closed

    deck.during = leave
    put(request)
    assert deck.open == []


def test_the_session_is_told_what_is_being_drawn(deck: Deck, broker: "redis.Redis") -> None:
    first, second = ask(0, sound(4, 24)), ask(1, sound(4, 25))
    told = []

    def look(tape: Any, window: Any) -> None:
        if not told:
            put(second)
            broker.delete(first.taken_key, second.taken_key)
            streams.kept.tell()
            told.extend(broker.mget([first.taken_key, second.taken_key]))
            assert 0 < broker.pttl(first.taken_key) <= streams.TAKEN_MS

    deck.during = look
    put(first)
    assert told == [HERE.encode()] * 2
    assert broker.mget([first.taken_key, second.taken_key]) == [wire.DONE] * 2


def test_a_worker_that_stops_gives_everything_back(deck: Deck, broker: "redis.Redis") -> None:
    for session in ("ses_1", "ses_2"):
        put(ask(0, sound(4, 26), session=session))
    streams.kept.close_all()
    assert deck.open == []
    assert deck.closings == [1, 2]


def test_warming_opens_no_stream(deck: Deck, broker: "redis.Redis") -> None:
    warming.prime(wire.Wanted(MODEL, KEY, ""))
    assert deck.tapes == []


def test_chunks_of_the_model_are_what_this_page_says() -> None:
    assert CHUNK * SAMPLES_PER_FRAME == 2560


def test_whatever_interrupts_a_thread_the_stream_can_go_on(
    deck: Deck, broker: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    holds(broker, "ses_1")
    with monkeypatch.context() as broken:
        broken.setattr(answers, "send", Mock(side_effect=RuntimeError))
        with pytest.raises(RuntimeError):
            put(ask(0, sound(4, 1)))
    put(ask(0, sound(4, 1)))
    put(ask(1, sound(4, 2)))
    assert [reply.number for reply in replies(broker)] == [0, 1]
    assert not any(stream.busy for stream in streams.kept._all())
