"""A clip through all of its stages, with the mock renderer and a voice that hums."""

import errno
import io
import itertools

import av
import numpy as np
import pytest

from generation.clips.models import Clip, ClipFragment, ClipUtterance
from project.webhooks.models import Delivery, WebhookEndpoint
from storage import keys
from storage.errors import StorageError, StorageFull
from workers import dispatch, presence
from workers.adapters.avatar.mock import card
from workers.adapters.errors import AdapterError
from workers.rendering.probe import inspect

pytestmark = pytest.mark.postgres


def numbers(video: bytes) -> list[int]:
    """Read the frame numbers that the test card shows."""
    with av.open(io.BytesIO(video)) as container:
        return [card.read_card(frame.to_ndarray(format="yuv420p"))[0] for frame in container.decode(video=0)]


def test_a_script_becomes_a_video_with_every_frame_in_its_place(make, broker, objects) -> None:
    clip = make()
    broker.run()
    clip.refresh_from_db()
    assert (clip.status, clip.progress, clip.stage) == ("succeeded", 100, "")
    video = objects.objects[clip.video_key]
    assert numbers(video) == list(range(clip.duration_ms // 40))
    seen = inspect(video)
    assert seen.errors == 0
    assert abs(seen.video_seconds - seen.audio_seconds) <= 0.04
    assert len(objects.objects[clip.poster_key]) > 500
    assert b"Good morning to all of you." in objects.objects[clip.srt_key]
    assert objects.objects[clip.vtt_key].startswith(b"WEBVTT")


def test_rendering_begins_while_later_sentences_are_still_unspoken(make, broker, voice) -> None:
    clip = make(script="This is the first sentence of several. " * 8)
    broker.step()
    fragments = ClipFragment.objects.filter(clip=clip)
    assert fragments.count() > 3
    first = next(iter(broker.messages))
    assert first == (dispatch.RENDER_FRAGMENT, "batch.mock", (clip.pk, 0))


def test_the_first_fragment_is_short_and_the_others_are_equal(make, broker) -> None:
    clip = make(script="This is the first sentence of several. " * 8)
    broker.run()
    frames = list(ClipFragment.objects.filter(clip=clip).values_list("frames", flat=True))
    assert frames[0] == 25
    assert set(frames[1:-1]) == {75}


def test_every_message_may_come_twice(make, broker, objects) -> None:
    clip = make()
    while broker.messages:
        message = broker.messages[0]
        broker.step()
        broker.messages.append(message) if broker.ran.count((message[0], message[2])) < 2 else None
    clip.refresh_from_db()
    assert clip.status == "succeeded"
    assert clip.fragments_done == clip.fragments_total
    rendered = [key for key in objects.puts if "/fragments/" in key]
    assert len(rendered) == len(set(rendered)) == clip.fragments_total


def test_the_end_is_told_once(make, broker, alice) -> None:
    WebhookEndpoint.objects.create(owner=alice, url="https://example.com/hook")
    clip = make()
    broker.run()
    dispatch.assemble(clip.pk)
    broker.run()
    told = Delivery.objects.filter(event_type="clip.succeeded")
    assert told.count() == 1
    assert clip.pk in told.get().body


def test_fragments_in_any_order_make_the_same_clip(make, broker, objects) -> None:
    clip = make()
    broker.step()
    broker.messages.reverse()
    broker.run()
    clip.refresh_from_db()
    assert numbers(objects.objects[clip.video_key]) == list(range(clip.duration_ms // 40))


def test_progress_never_goes_back(make, broker) -> None:
    clip = make(script="This is the first sentence of several. " * 6)
    seen = []
    while broker.messages:
        broker.step()
        clip.refresh_from_db()
        seen.append((clip.progress, clip.revision))
    assert all(a <= b for a, b in itertools.pairwise(seen))
    assert seen[-1][0] == 100


def test_the_decoded_sound_has_no_seam(make, broker, objects) -> None:
    clip = make()
    broker.run()
    clip.refresh_from_db()
    told = np.zeros(clip.duration_ms * 48, np.float32)
    for row in ClipUtterance.objects.filter(clip=clip):
        pcm = np.frombuffer(objects.objects[row.pcm_key], np.int16) / 32768
        told[row.start_sample : row.start_sample + row.samples] = pcm
    heard = inspect(objects.objects[clip.video_key], sound=True).sound[: len(told)]
    # 40 ms at a time, so that a click or a shift of a few samples anywhere would be seen.
    for start in range(0, len(heard) - 1920, 1920):
        ours, theirs = heard[start : start + 1920], told[start : start + 1920]
        if np.abs(theirs).max() > 0.1:
            assert np.corrcoef(ours, theirs)[0, 1] > 0.97, f"at {start // 48} ms"
        elif not told[max(start - 1920, 0) : start + 3840].any():
            assert np.abs(ours).max() < 0.02, f"at {start // 48} ms"


def test_pauses_and_speed_are_heard(make, broker) -> None:
    lengths = []
    for wish in ({}, {"speed": 2.0}, {"script": "Good morning to all of you. [pause 3s] The end."}):
        clip = make(**wish)
        broker.run()
        clip.refresh_from_db()
        lengths.append(clip.duration_ms)
    assert lengths[1] < lengths[0] * 0.65
    assert lengths[2] > 3000 + 27 * 60


def test_a_worker_that_is_asked_to_end_hands_a_long_script_over(make, broker, objects, monkeypatch) -> None:
    clip = make(script="This is the first sentence of several. " * 8)
    asked = iter([False, False, True])
    monkeypatch.setattr(presence, "leaving", lambda: next(asked, True))
    broker.step()
    clip.refresh_from_db()
    spoken = ClipUtterance.objects.filter(clip=clip)
    assert 0 < spoken.count() < 8
    assert (clip.status, clip.attempts, clip.lease_token) == ("running", 0, "")
    assert (dispatch.SPEAK, dispatch.SPEECH_QUEUE, (clip.pk,)) in broker.messages
    before = list(spoken.values_list("index", "pcm_key"))
    monkeypatch.setattr(presence, "leaving", lambda: False)
    broker.run()
    clip.refresh_from_db()
    assert clip.status == "succeeded"
    assert list(spoken.order_by("index").values_list("index", "pcm_key"))[: len(before)] == before
    assert numbers(objects.objects[clip.video_key]) == list(range(clip.duration_ms // 40))


def test_a_worker_that_is_asked_to_end_begins_no_script(make, broker, voice, monkeypatch) -> None:
    clip = make()
    monkeypatch.setattr(presence, "leaving", lambda: True)
    broker.step()
    clip.refresh_from_db()
    assert clip.status == "queued"
    assert broker.messages.count((dispatch.SPEAK, dispatch.SPEECH_QUEUE, (clip.pk,))) == 1


def test_a_voice_that_is_away_is_waited_for(make, broker, voice, forget) -> None:
    clip = make()
    voice.failures = [AdapterError("away", provider="tone", retryable=True, code="provider_unreachable")]
    broker.run()
    clip.refresh_from_db()
    assert (clip.status, clip.retries, clip.attempts) == ("running", 1, 0)
    assert clip.next_attempt_at is not None
    forget(clip)
    dispatch.speak(clip.pk)
    broker.run()
    clip.refresh_from_db()
    assert clip.status == "succeeded"


def test_a_voice_that_will_never_answer_fails_the_clip_with_its_code(make, broker, voice) -> None:
    clip = make()
    voice.failures = [AdapterError("no", provider="tone", retryable=False, code="quota_exceeded")]
    broker.run()
    clip.refresh_from_db()
    assert (clip.status, clip.failure_code) == ("failed", "quota_exceeded")


def test_a_full_disk_fails_the_clip_with_a_code(make, broker, objects) -> None:
    clip = make()
    objects.failure = StorageFull()
    broker.run()
    clip.refresh_from_db()
    assert (clip.status, clip.failure_code) == ("failed", "storage_full")


def test_a_full_local_disk_fails_the_clip_with_a_code(make, broker, monkeypatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("workers.rendering.aac.AacEncoder.push", full)
    clip = make()
    broker.run()
    clip.refresh_from_db()
    assert (clip.status, clip.failure_code) == ("failed", "storage_full")


@pytest.mark.parametrize("stage", ["speech", "rendering", "assembling"])
def test_a_store_that_is_away_is_waited_for(make, broker, objects, forget, stage) -> None:
    clip = make()
    if stage != "speech":
        broker.run(until=lambda: broker.count(dispatch.SPEAK) == 1)
    if stage == "assembling":
        broker.run(until=lambda: broker.messages[0][0] == dispatch.ASSEMBLE)
    objects.failure = StorageError("away")
    broker.run()
    clip.refresh_from_db()
    assert clip.status == "running"
    objects.failure = None
    for _ in range(3):
        forget(clip)
        from generation.clips import reconciling

        reconciling.reconcile()
        broker.run()
    clip.refresh_from_db()
    assert (clip.status, clip.failure_code) == ("succeeded", "")


def test_a_fragment_that_vanished_from_the_store_is_rendered_again(make, broker, objects) -> None:
    clip = make()
    broker.run(until=lambda: broker.messages[0][0] == dispatch.ASSEMBLE)
    del objects.objects[keys.fragment(clip.pk, 1)]
    broker.run()
    clip.refresh_from_db()
    assert clip.status == "succeeded"
    assert numbers(objects.objects[clip.video_key]) == list(range(clip.duration_ms // 40))


def test_a_damaged_fragment_is_rendered_again(make, broker, objects) -> None:
    clip = make()
    broker.run(until=lambda: broker.messages[0][0] == dispatch.ASSEMBLE)
    objects.damage(keys.fragment(clip.pk, 0))
    broker.run()
    clip.refresh_from_db()
    assert clip.status == "succeeded"


def test_an_unexpected_error_is_tried_again_and_then_ends_the_clip(make, broker, forget, monkeypatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("generation.clips.rendering.draw_and_encode", broken)
    clip = make()
    broker.run()
    for _ in range(6):
        forget(clip)
        from generation.clips import reconciling

        reconciling.reconcile()
        broker.run()
    clip.refresh_from_db()
    assert (clip.status, clip.failure_code) == ("failed", "internal_error")


def test_a_missing_voice_fails_the_clip_with_a_code(make, broker) -> None:
    clip = make()
    Clip.objects.filter(pk=clip.pk).update(voice="en-gone")
    broker.run()
    clip.refresh_from_db()
    assert (clip.status, clip.failure_code) == ("failed", "voice_not_found")
