"""Clips of stateful models: one stream in order, whatever becomes of its worker, its sound or its server."""

import io

import av
import pytest
from django.db.models import Q
from django.utils import timezone

from generation.clips import (
    leases,
    outcome,
    parking,
    presenter,
    reconciling,
    rendering,
    services,
    speaking,
    streaming,
)
from generation.clips.models import Clip, ClipFragment, ClipStream
from generation.clips.wishes import Wish
from storage import fragments, keys
from tests.support.clips import ready_avatar
from tests.support.stateful import CHUNK, MODEL, Deck, Seen, lost, seen, tapes  # noqa: F401 - a fixture
from workers import dispatch, presence
from workers.adapters.avatar.base import SAMPLES_PER_FRAME

LONG = "This is one of several sentences. " * 3
QUEUE = f"batch.{MODEL}"


class Killed(BaseException):
    """Ends a worker where nothing can catch it, as SIGKILL does."""


@pytest.fixture
def deck(tapes, monkeypatch) -> Deck:  # noqa: F811
    monkeypatch.setattr(parking, "parked", parking.Parked())
    monkeypatch.setattr(streaming, "parked", parking.parked)
    monkeypatch.setattr("generation.availability.refusal", lambda *_, **__: None)
    return tapes


@pytest.fixture
def make(deck, alice, objects, broker, voice):
    avatar = ready_avatar(objects)
    type(avatar).objects.filter(pk=avatar.pk).update(model=MODEL)

    def accept(**wish) -> Clip:
        return services.clip_create(alice, Wish(avatar=avatar.pk, **({"script": LONG} | wish)))

    return accept


def pictures(clip, objects) -> list[Seen]:
    clip.refresh_from_db()
    assert clip.status == "succeeded", (clip.status, clip.failure_code, clip.failure_message)
    drawn = seen(objects.objects[clip.video_key])
    assert len(drawn) == clip.duration_ms // 40
    return drawn


def counted(frames: int, stream: int = 1) -> list[tuple[int, int]]:
    return [(stream, frame & 0xFF) for frame in range(frames)]


def told(drawn: list[Seen]) -> list[tuple[int, int]]:
    return [(one.stream, one.before) for one in drawn]


def fragments_of(clip) -> list[ClipFragment]:
    return list(ClipFragment.objects.filter(clip=clip).order_by("index"))


def kill_at(monkeypatch, index: int):
    """Let the worker die while it draws a fragment, once."""
    draw = rendering.encoded

    def dying(renderer, stream, clip, fragment, lease):
        if fragment.index == index:
            monkeypatch.setattr(rendering, "encoded", draw)
            raise Killed
        return draw(renderer, stream, clip, fragment, lease)

    monkeypatch.setattr(rendering, "encoded", dying)


def run_until_killed(broker) -> None:
    with pytest.raises(Killed):
        broker.run()


def resume(clip, broker, forget) -> None:
    """Another worker finds what the dead one left."""
    parking.parked._places.clear()
    for _ in range(4):
        forget(clip)
        reconciling.reconcile()
        broker.run()


def test_every_frame_of_a_clip_comes_from_one_stream_in_order(make, broker, objects, deck) -> None:
    clip = make()
    broker.run()
    drawn = pictures(clip, objects)
    assert told(drawn) == counted(len(drawn))
    assert (len(deck.tapes), deck.open) == (1, [])
    assert clip.warnings == []
    assert broker.count(dispatch.RENDER_FRAGMENT) == 0
    assert deck.warmed == [False]


def test_sound_is_heard_once_and_whole(make, broker, objects, deck) -> None:
    clip = make()
    broker.run()
    windows = deck.tapes[0].windows
    assert [window.start_frame for window in windows] == [part.start_frame for part in fragments_of(clip)]
    assert [window.frames for window in windows] == [part.frames for part in fragments_of(clip)]
    assert all(window.lookahead == 33 * SAMPLES_PER_FRAME for window in windows)
    assert not any(window.live for window in windows)
    heard = [window.pcm[: window.frames * SAMPLES_PER_FRAME] for window in windows]
    ahead = [window.pcm[window.frames * SAMPLES_PER_FRAME :] for window in windows]
    for here, there in zip(ahead[:-1], heard[1:], strict=True):
        both = min(len(here), len(there))
        assert (here[:both] == there[:both]).all()  # what lies ahead is known when a fragment is planned
    assert all(part.frames % CHUNK == 0 for part in fragments_of(clip)[:-1])


def test_a_message_that_comes_twice_draws_nothing_twice(make, broker, objects, deck) -> None:
    clip = make()
    broker.step()
    broker.messages.extend(list(broker.messages) * 2)
    broker.run()
    assert told(pictures(clip, objects)) == counted(clip.duration_ms // 40)
    rendered = [key for key in objects.puts if "/fragments/" in key]
    assert len(rendered) == len(set(rendered)) == clip.fragments_total


def test_drawing_begins_while_later_sentences_are_unspoken_and_goes_on_in_the_same_stream(
    make, broker, objects, deck, monkeypatch
) -> None:
    clip = make()
    plan = speaking._Timeline._plan

    def planned(self, samples, *, complete) -> None:
        plan(self, samples, complete=complete)

    def draw_between(self, take, soundtrack, add=speaking._Timeline._add) -> None:
        add(self, take, soundtrack)
        streaming.render_stream(clip.pk)

    monkeypatch.setattr(speaking._Timeline, "_plan", planned)
    monkeypatch.setattr(speaking._Timeline, "_add", draw_between)
    broker.step()
    assert ClipFragment.objects.filter(clip=clip, status="done").count() > 2
    assert len(parking.parked) == 1
    broker.run()
    assert told(pictures(clip, objects)) == counted(clip.duration_ms // 40)
    assert (len(deck.tapes), deck.open, len(parking.parked)) == (1, [], 0)


def test_after_a_crash_the_next_worker_draws_the_fragment_before_for_nobody(
    make, broker, objects, forget, monkeypatch
) -> None:
    clip = make()
    kill_at(monkeypatch, 2)
    run_until_killed(broker)
    parts = fragments_of(clip)
    assert [part.status for part in parts[:3]] == ["done", "done", "pending"]
    resume(clip, broker, forget)
    drawn = pictures(clip, objects)
    begin = parts[2].start_frame
    assert told(drawn)[:begin] == counted(begin)
    after = told(drawn)[begin:]
    assert after[0] == (2, parts[1].frames)  # the second stream had drawn fragment 1, which nobody sees
    assert [before for _, before in after] == [(parts[1].frames + n) & 0xFF for n in range(len(after))]
    assert presenter.clip(clip)["warnings"] == [{"code": "render_seam", "at_ms": begin * 40}]


def test_a_fragment_that_was_stored_before_the_crash_is_not_drawn_again(
    make, broker, objects, forget, monkeypatch
) -> None:
    clip = make()
    finish = streaming._Drawing._finish

    def die(self, fragment, *args, **named):
        if fragment.index == 1:
            monkeypatch.setattr(streaming._Drawing, "_finish", finish)
            raise Killed
        return finish(self, fragment, *args, **named)

    monkeypatch.setattr(streaming._Drawing, "_finish", die)
    run_until_killed(broker)
    resume(clip, broker, forget)
    pictures(clip, objects)
    assert objects.puts.count(keys.fragment(clip.pk, 1)) == 1


def test_a_worker_that_slept_through_its_lease_changes_nothing(make, broker, objects, deck, forget) -> None:
    clip = make()
    broker.step()
    hit = []

    def taken_over(tape, window) -> None:
        if not hit and window.start_frame > 0:
            hit.append(1)
            ClipStream.objects.filter(clip=clip).update(lease_token="another")

    deck.during = taken_over
    broker.run()
    assert ClipFragment.objects.filter(clip=clip, status="done").count() == 1
    assert deck.open == []
    deck.during = None
    resume(clip, broker, forget)
    pictures(clip, objects)


def test_a_model_that_is_away_is_waited_for_and_the_seam_told(make, broker, objects, deck, forget) -> None:
    clip = make()
    hit = []

    def away(tape, window) -> None:
        if not hit and window.start_frame > 0:
            hit.append(window.start_frame)
            raise lost()

    deck.during = away
    broker.run()
    row = ClipStream.objects.get(clip=clip)
    assert (row.retries, row.attempts, row.lease_token) == (1, 0, "")
    assert deck.open == []
    resume(clip, broker, forget)
    pictures(clip, objects)
    assert clip.warnings == [{"code": "render_seam", "at_ms": hit[0] * 40}]


def test_a_server_that_others_have_is_waited_for_as_long_as_it_takes(
    make, broker, objects, deck, forget
) -> None:
    clip = make()
    broker.step()
    ClipStream.objects.filter(clip=clip).update(retries=outcome.MAX_RETRIES)
    busy = lost()
    busy.code = "model_busy"
    deck.opening = [busy, busy]
    resume(clip, broker, forget)
    pictures(clip, objects)
    assert len(deck.tapes) == 3
    assert clip.warnings == []


def test_what_no_other_try_mends_ends_the_clip(make, broker, deck) -> None:
    clip = make()
    error = lost()
    error.retryable, error.code = False, "model_profile_mismatch"
    deck.errors = [error]
    broker.run()
    clip.refresh_from_db()
    assert (clip.status, clip.failure_code) == ("failed", "model_profile_mismatch")
    assert deck.open == []


def test_progress_makes_an_earlier_wait_forgotten(make, broker, objects, deck, forget) -> None:
    clip = make()
    broker.step()
    ClipStream.objects.filter(clip=clip).update(retries=outcome.MAX_RETRIES - 1, attempts=4)
    broker.run()
    pictures(clip, objects)
    row = ClipStream.objects.get(clip=clip)
    assert (row.retries, row.attempts) == (0, 0)


def test_a_seam_that_the_stream_tells_of_is_told(make, broker, objects, deck) -> None:
    clip = make()
    deck.during = lambda tape, window: tape.seams.append(20) if window.start_frame == 20 else None
    broker.run()
    pictures(clip, objects)
    assert clip.warnings == [{"code": "render_seam", "at_ms": 800}]


def test_live_work_goes_first_after_each_fragment_and_the_stream_goes_on(make, broker, objects, deck) -> None:
    clip = make()
    broker.step()
    (message,) = {m for m in broker.messages if m[0] == dispatch.RENDER_STREAM}
    broker.messages.clear()
    broker.messages.append((dispatch.RENDER_LIVE, "live.tape", ("somebody waits",)))
    streaming.render_stream(clip.pk, goes_first=["worker.render1@x", "live.tape"])
    assert ClipFragment.objects.filter(clip=clip, status="done").count() == 1
    assert list(broker.messages)[1:] == [message]
    assert (len(parking.parked), len(deck.open)) == (1, 1)
    assert ClipStream.objects.get(clip=clip).lease_token == ""
    broker.run()
    drawn = pictures(clip, objects)
    assert told(drawn) == counted(len(drawn))
    assert clip.warnings == []


def test_a_server_that_a_live_session_waits_for_is_given_back_at_once(make, broker, objects, deck) -> None:
    clip = make()
    broker.step()
    deck.wanted = True
    broker.step()
    assert ClipFragment.objects.filter(clip=clip, status="done").count() == 1
    assert deck.open == []
    assert [m for m in broker.messages if m[0] == dispatch.RENDER_STREAM]
    deck.wanted = False
    broker.run()
    pictures(clip, objects)
    assert len(clip.warnings) == 1


def test_a_parked_stream_is_not_kept_for_ever_nor_from_live_sessions(deck, monkeypatch) -> None:
    class Renderer:
        free = 0

        def wanted(self, stream):
            return stream == "asked for"

        def close_stream(self, stream):
            Renderer.free += 1

    lot = parking.Parked()
    lot._watch = lambda: None
    for name in ("asked for", "kept"):
        lot.put(name, parking.Place(Renderer(), name, 1))
    lot.look()
    assert (len(lot), Renderer.free) == (1, 1)
    monkeypatch.setattr(parking, "KEPT_SECONDS", 0.0)
    lot.look()
    assert (len(lot), Renderer.free) == (0, 2)


def test_a_clip_that_is_cancelled_between_two_fragments_gives_its_stream_back(make, broker, deck) -> None:
    clip = make()
    broker.step()
    broker.messages.append((dispatch.RENDER_LIVE, "live.tape", ()))
    streaming.render_stream(clip.pk, goes_first=["live.tape"])
    assert services.clip_cancel(clip)
    broker.run()
    clip.refresh_from_db()
    assert clip.status == "canceled"
    assert deck.open == []


def test_a_clip_that_is_cancelled_while_it_is_drawn_ends(make, broker, deck, monkeypatch) -> None:
    clip = make()

    def cancel(tape, window) -> None:
        services.clip_cancel(Clip.objects.get(pk=clip.pk))
        monkeypatch.setattr(streaming.Lease, "check", lambda self: self.renew() or check(self))

    check = streaming.Lease.check
    deck.during = cancel
    broker.run()
    clip.refresh_from_db()
    assert clip.status == "canceled"
    assert deck.open == []


def test_an_emptied_broker_is_told_of_the_clip_again(make, broker, objects, deck, forget) -> None:
    clip = make()
    broker.step()
    broker.messages.clear()
    assert reconciling.reconcile() == 0  # it was sent a moment ago
    forget(clip)
    assert reconciling.reconcile() == 1
    assert list(broker.messages) == [(dispatch.RENDER_STREAM, QUEUE, (clip.pk,))]
    forget(clip)
    assert reconciling.reconcile() == 0  # it waits in the queue
    broker.run()
    pictures(clip, objects)


def test_a_fragment_that_the_store_lost_is_drawn_again_behind_the_one_before(
    make, broker, objects, deck
) -> None:
    clip = make()
    broker.run(until=lambda: Clip.objects.get(pk=clip.pk).stage == "assembling")
    objects.delete([keys.fragment(clip.pk, 2)])
    broker.run()
    drawn = pictures(clip, objects)
    parts = fragments_of(clip)
    begin = parts[2].start_frame
    assert told(drawn)[begin] == (2, parts[1].frames)
    assert told(drawn)[: parts[2].start_frame] == counted(begin)


def test_a_model_that_became_stateful_in_the_middle_is_drawn_through_a_stream(
    make, broker, objects, deck
) -> None:
    clip = make()
    broker.step()
    ClipStream.objects.filter(clip=clip).delete()
    broker.messages.clear()
    broker.messages.append((dispatch.RENDER_FRAGMENT, QUEUE, (clip.pk, 0)))
    broker.run()
    assert told(pictures(clip, objects)) == counted(clip.duration_ms // 40)
    assert deck.open == []


def test_two_clips_share_no_stream(make, broker, objects, deck) -> None:
    first, second = make(), make()
    broker.run()
    assert {one.stream for one in pictures(first, objects)} | {
        one.stream for one in pictures(second, objects)
    } == {1, 2}
    with av.open(io.BytesIO(objects.objects[first.video_key])) as film:
        assert film.streams.video[0].frames == first.duration_ms // 40


def test_a_fragment_that_two_backends_drew_is_counted_once(make, broker, objects, deck, monkeypatch) -> None:
    clip = make()
    draw = rendering.encoded
    alone = []

    def drawn(renderer, stream, clip, fragment, lease):
        if not alone:  # a worker of the former backend began it, and sleeps
            alone.append(leases.take(ClipFragment, fragment.pk, clip.pk, Q()))
        return draw(renderer, stream, clip, fragment, lease)

    monkeypatch.setattr(rendering, "encoded", drawn)
    broker.run()
    first = fragments_of(clip)[0]
    with pytest.raises(leases.LeaseLost):
        rendering.finish(alone[0], fragments.find_fragment(clip.pk, first.index), render_ms=1)
    pictures(clip, objects)
    assert clip.fragments_done == clip.fragments_total


def test_a_server_that_is_taken_for_a_day_counts_as_away(make, broker, deck, forget) -> None:
    clip = make()
    Clip.objects.filter(pk=clip.pk).update(created_at=timezone.now() - outcome.LONGEST_BUSY * 2)
    busy = lost()
    busy.code = "model_busy"
    deck.opening = [busy] * (outcome.MAX_RETRIES + 1)
    for _ in range(outcome.MAX_RETRIES + 1):
        broker.run()
        forget(clip)
        reconciling.reconcile()
    clip.refresh_from_db()
    assert (clip.status, clip.failure_code) == ("failed", "model_busy")


def test_a_worker_that_is_told_to_stop_leaves_the_rest_to_others(
    make, broker, objects, deck, monkeypatch
) -> None:
    clip = make()
    broker.step()  # it is spoken
    monkeypatch.setattr(presence, "leaving", lambda: True)
    before = len(broker.messages)
    broker.step()
    assert clip.fragments.filter(status="done").count() == 1
    assert len(broker.messages) == before  # one was taken, and one sent
    parking.parked.close_all()  # it is gone
    monkeypatch.setattr(presence, "leaving", lambda: False)
    broker.run()
    pictures(clip, objects)
    assert len(deck.tapes) == 2
