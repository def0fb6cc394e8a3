"""Whatever is lost, one pass of the reconciler finds, and only that."""

import pytest

from generation.clips import assembling, leases, outcome, reconciling, rendering, speaking
from generation.clips.models import Clip, ClipFragment
from storage import keys
from workers import dispatch

pytestmark = pytest.mark.postgres


class Killed(BaseException):
    """Ends a worker where nothing can catch it, as SIGKILL does."""


def finish(clip, broker, forget, passes: int = 6) -> Clip:
    for _ in range(passes):
        broker.run()
        forget(clip)
        reconciling.reconcile()
    clip.refresh_from_db()
    return clip


def test_a_clip_is_accepted_and_made_although_the_broker_was_away(make, broker, forget) -> None:
    broker.away = True
    clip = make()
    assert not broker.messages
    broker.away = False
    assert finish(clip, broker, forget).status == "succeeded"


def test_an_emptied_broker_is_filled_again_in_one_pass(make, broker, forget) -> None:
    clip = make(script="This is the first sentence of several. " * 6)
    broker.step()
    lost = len(broker.messages)
    broker.messages.clear()
    forget(clip)
    assert reconciling.reconcile() == lost
    assert len(broker.messages) == lost


def test_what_waits_in_the_queue_is_not_sent_again(make, broker, forget) -> None:
    clip = make(script="This is the first sentence of several. " * 6)
    broker.step()
    before = len(broker.messages)
    forget(clip)
    assert reconciling.reconcile() == 0
    assert len(broker.messages) == before


def test_queues_are_read_only_where_something_may_be_lost(make, broker, forget, monkeypatch) -> None:
    read: list[str] = []
    waiting = dispatch.waiting
    monkeypatch.setattr(dispatch, "waiting", lambda queue: read.append(queue) or waiting(queue))
    reconciling.reconcile()
    clip = make(script="This is the first sentence of several. " * 6)
    broker.step()
    reconciling.reconcile()
    assert read == [], "whatever there is was sent a moment ago"
    forget(clip)
    reconciling.reconcile()
    assert set(read) <= {dispatch.SPEECH_QUEUE, f"batch.{clip.model}"}
    assert f"batch.{clip.model}" in read


def test_clips_that_are_over_cost_a_pass_one_query(make, broker, forget, django_assert_num_queries) -> None:
    assert finish(make(), broker, forget).status == "succeeded"
    with django_assert_num_queries(1):
        assert reconciling.reconcile() == 0


def test_a_crowded_queue_is_left_until_it_is_shorter(make, broker, forget, monkeypatch) -> None:
    clip = make(script="This is the first sentence of several. " * 6)
    broker.step()
    broker.messages.popleft()
    forget(clip)
    monkeypatch.setattr(reconciling, "CROWDED", 1)
    assert reconciling.reconcile() == 0
    monkeypatch.setattr(reconciling, "CROWDED", 20_000)
    assert reconciling.reconcile() == 1


def test_a_message_that_was_just_sent_is_given_time(make, broker) -> None:
    make()
    broker.messages.clear()
    assert reconciling.reconcile() == 0


def test_a_second_pass_sends_nothing_again(make, broker, forget) -> None:
    clip = make()
    broker.messages.clear()
    forget(clip)
    assert reconciling.reconcile() == 1
    broker.messages.clear()
    assert reconciling.reconcile() == 0


def test_work_that_somebody_holds_is_left_alone(make, broker) -> None:
    clip = make()
    broker.step()
    broker.messages.clear()
    ClipFragment.objects.filter(clip=clip).update(
        enqueued_at=None, lease_token="t", lease_until=leases.timezone.now() + leases.LEASE, status="running"
    )
    assert reconciling.send_fragments() == 0


SPOTS = {
    "before the first sound is stored": (speaking, "store"),
    "between storing a sound and its row": (speaking, "ClipUtterance"),
    "before a fragment is stored": (rendering, "draw_and_encode"),
    "between storing a fragment and its row": (rendering, "finish"),
    "before the film is joined": (assembling, "assemble"),
    "between storing the film and its row": (outcome, "succeed"),
    "before the stage moves": (outcome, "speech_finished"),
}


@pytest.mark.parametrize("spot", list(SPOTS))
def test_a_worker_killed_in_the_middle_costs_nothing_but_time(
    make, broker, forget, monkeypatch, spot
) -> None:
    module, name = SPOTS[spot]

    def die(*args: object, **kwargs: object) -> None:
        raise Killed

    clip = make()
    with monkeypatch.context() as patched:
        patched.setattr(module, name, die if name != "ClipUtterance" else _DyingManager())
        with pytest.raises(Killed):
            broker.run()
    made = finish(clip, broker, forget)
    assert (made.status, made.failure_code) == ("succeeded", "")
    assert made.fragments_done == made.fragments_total


class _DyingManager:
    """Stands in for the model: reads work, the first write kills the worker."""

    @property
    def objects(self):
        from generation.clips.models import ClipUtterance

        class Manager:
            filter = ClipUtterance.objects.filter

            def create(self, **columns: object) -> None:
                raise Killed

        return Manager()


def test_a_fragment_that_is_stored_is_not_rendered_again(make, broker, forget, monkeypatch, objects) -> None:
    clip = make()
    broker.step()
    with monkeypatch.context() as patched:
        patched.setattr(rendering, "finish", _kill)
        with pytest.raises(Killed):
            broker.step()
    stored = [key for key in objects.puts if "/fragments/" in key]
    assert len(stored) == 1
    made = finish(clip, broker, forget)
    assert made.status == "succeeded"
    assert objects.puts.count(keys.fragment(clip.pk, 0)) == 1


def _kill(*args: object, **kwargs: object) -> None:
    raise Killed


def test_sentences_that_are_stored_are_not_spoken_again(make, broker, forget, voice, monkeypatch) -> None:
    clip = make()
    with monkeypatch.context() as patched:
        patched.setattr(outcome, "speech_finished", _kill)
        with pytest.raises(Killed):
            broker.step()
    spoken = list(voice.said)
    assert finish(clip, broker, forget).status == "succeeded"
    assert voice.said == spoken


def test_a_clip_that_kills_its_workers_ends_with_a_code(make, broker, forget, monkeypatch) -> None:
    monkeypatch.setattr(rendering, "draw_and_encode", _kill)
    clip = make()
    for _ in range(40):
        while broker.messages:
            try:
                broker.step()
            except Killed:
                break
        forget(clip)
        reconciling.reconcile()
    clip.refresh_from_db()
    assert (clip.status, clip.failure_code) == ("failed", "worker_lost")


def test_a_worker_that_lost_its_lease_cannot_finish_a_fragment_twice(make, broker) -> None:
    clip = make()
    broker.step()
    fragment = ClipFragment.objects.get(clip=clip, index=0)
    slow = leases.take(ClipFragment, fragment.pk, clip.pk, leases.Q(), status="running")
    ClipFragment.objects.filter(pk=fragment.pk).update(lease_until=leases.timezone.now() - leases.LEASE)
    broker.run()
    stored = rendering.fragments.find_fragment(clip.pk, 0)
    with pytest.raises(leases.LeaseLost):
        rendering.finish(slow, stored, render_ms=1)
    clip.refresh_from_db()
    assert clip.fragments_done == clip.fragments_total
    assert broker.count(dispatch.ASSEMBLE) == 1


def test_a_cancelled_clip_whose_worker_died_ends(make, broker, forget, monkeypatch) -> None:
    from generation.clips import services

    clip = make()
    with monkeypatch.context() as patched:
        patched.setattr(outcome, "speech_finished", _kill)
        with pytest.raises(Killed):
            broker.step()
    clip.refresh_from_db()
    assert services.clip_cancel(clip) is False
    forget(clip)
    reconciling.reconcile()
    clip.refresh_from_db()
    assert clip.status == "canceled"


def test_a_clip_whose_models_file_is_gone_holds_up_no_other(make, broker, forget) -> None:
    lost = make(script="This is the first sentence of several. " * 6)
    broker.step()
    Clip.objects.filter(pk=lost.pk).update(model="gone")
    broker.messages.clear()
    clip = make()
    broker.step()
    broker.messages.clear()
    forget(lost)
    assert finish(clip, broker, forget).status == "succeeded"


def test_a_message_of_a_clip_whose_models_file_is_gone_is_let_go(make, broker, forget) -> None:
    clip = make(script="This is the first sentence of several. " * 6)
    broker.step()
    Clip.objects.filter(pk=clip.pk).update(model="gone")
    rendering.render_fragment(clip.pk, 0)
    assert clip.fragments.get(index=0).attempts == 0


@pytest.fixture
def goes_on():
    """Whether a clip is neither failed nor over."""

    def look(clip: Clip) -> bool:
        clip.refresh_from_db()
        return clip.status in ("queued", "running")

    return look


def test_a_clip_whose_model_stays_away_ends_with_a_code(make, broker, forget, goes_on) -> None:
    clip = make(script="This is the first sentence of several. " * 6)
    broker.step()
    Clip.objects.filter(pk=clip.pk).update(model="gone")
    broker.messages.clear()
    reconciling.reconcile()
    reconciling.reconcile()
    assert goes_on(clip), "its model may come back"
    forget(clip)
    reconciling.reconcile()
    clip.refresh_from_db()
    assert (clip.status, clip.failure_code) == ("failed", "model_not_available")
    assert "gone" in clip.failure_message
    reconciling.reconcile()


def test_a_model_that_comes_back_is_waited_for_anew(make, broker, forget, goes_on) -> None:
    clip = make(script="This is the first sentence of several. " * 6)
    broker.step()
    for _ in range(2):
        Clip.objects.filter(pk=clip.pk).update(model="gone")
        reconciling.reconcile()
        assert goes_on(clip)
        forget(clip)  # the time is up, and it is back
        Clip.objects.filter(pk=clip.pk).update(model="mock")
        reconciling.reconcile()
        assert goes_on(clip)
        assert clip.next_attempt_at is None
    assert finish(clip, broker, forget).status == "succeeded"


def test_a_clip_that_has_all_its_fragments_needs_its_model_no_more(make, broker, forget) -> None:
    clip = make()
    for _ in range(20):
        clip.refresh_from_db()
        if clip.stage == "assembling":
            break
        broker.step()
    Clip.objects.filter(pk=clip.pk).update(model="gone")
    reconciling.reconcile()
    assert finish(clip, broker, forget).status == "succeeded"


def test_a_clip_whose_model_is_gone_before_it_is_spoken_waits_and_ends(
    make, broker, forget, monkeypatch
) -> None:
    monkeypatch.setattr(outcome, "MAX_RETRIES", 3)
    clip = make()
    Clip.objects.filter(pk=clip.pk).update(model="gone")
    broker.step()
    clip.refresh_from_db()
    assert (clip.status, clip.retries) == ("running", 1)
    finish(clip, broker, forget)
    assert (clip.status, clip.failure_code) == ("failed", "model_not_available")
