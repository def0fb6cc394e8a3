"""Captions: from the script, from recognised sound, beside the video or in it."""

import io
from datetime import timedelta

import av
import numpy as np
import pytest
from django.utils import timezone

from generation.clips.models import ClipFragment
from generation.uploads.models import Upload
from workers.adapters.errors import AdapterError

AWAY = AdapterError("away", provider="ears", retryable=True, code="provider_unreachable")


@pytest.fixture
def recording(alice, objects) -> Upload:
    objects.put_bytes("uploads/u/audio.pcm", bytes(2 * 48_000 * 25), "x/y")
    return Upload.objects.create(
        owner=alice,
        kind="audio",
        original_key="uploads/u/original.wav",
        pcm_key="uploads/u/audio.pcm",
        duration_ms=25_000,
        expires_at=timezone.now() + timedelta(days=1),
    )


def pictures(video: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(video)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def test_words_are_shown_while_they_are_heard(make, broker, objects) -> None:
    clip = make(script="One two three. [pause 2s] Four five six.")
    broker.run()
    clip.refresh_from_db()
    srt = objects.objects[clip.srt_key].decode()
    assert srt.index("One two three.") < srt.index("Four five six.")
    assert srt.startswith("1\n00:00:00,2")


def test_captions_in_the_picture_are_there_when_they_are_heard_and_only_then(make, broker, objects) -> None:
    wish = {"script": "One two three. [pause 3s] Four five six."}
    films = []
    for captions in ("sidecar", "burned"):
        clip = make(**wish, captions=captions)
        broker.run()
        clip.refresh_from_db()
        films.append(pictures(objects.objects[clip.video_key]))
    differ = [float(np.abs(a.astype(int) - b).mean()) for a, b in zip(*films, strict=True)]
    assert differ[15] > 1
    assert differ[70] < 0.5
    assert differ[-20] > 1


def test_given_sound_gets_the_captions_that_are_recognised_in_it(
    make, broker, objects, ears, recording
) -> None:
    clip = make(upload=recording.pk)
    broker.run()
    clip.refresh_from_db()
    assert clip.status == "succeeded"
    assert sum(ears.heard_seconds) == 25
    assert b"00:00:00,500 --> 00:00:01,500\nWhat I heard." in objects.objects[clip.srt_key]


def test_a_recogniser_that_is_away_costs_the_captions_and_not_the_clip(make, broker, ears, recording) -> None:
    ears.failure = AWAY
    clip = make(upload=recording.pk)
    broker.run()
    clip.refresh_from_db()
    assert (clip.status, clip.cues) == ("succeeded", [])


def test_captions_in_the_picture_wait_for_the_recogniser(make, broker, ears, recording, forget) -> None:
    from generation.clips import reconciling

    ears.failure = AWAY
    clip = make(upload=recording.pk, captions="burned")
    broker.run()
    clip.refresh_from_db()
    assert clip.status == "running"
    assert not ClipFragment.objects.exists()
    ears.failure = None
    forget(clip)
    reconciling.reconcile()
    broker.run()
    clip.refresh_from_db()
    assert clip.status == "succeeded"
    assert clip.duration_ms == 25_000
