"""The recording of a session: seen and heard through a decoder, from what a real playout presented."""

import io
import json
from datetime import timedelta

import av
import numpy as np
import pytest
from django.utils import timezone

from generation.avatars import versions
from generation.avatars.models import Avatar
from project.webhooks import services as webhooks
from project.webhooks.models import Delivery
from rtc.frames import SAMPLES_PER_FRAME
from sessions import erasing, services
from sessions.models import Recording, Session, Turn
from sessions.recording import assembling, upkeep
from storage import keys
from storage.errors import StorageError
from tests.sessions.recording.crew import (
    AVATAR_VOICE,
    CUSTOMER_VOICE,
    FIRST_SPOKEN,
    Host,
    begun,
    ended,
    killed,
    recorded,
)
from tests.support.media import decoded_numbers
from tests.support.sessions import turn_back
from workers import dispatch

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    monkeypatch.setattr(assembling, "LOOKS", 1)
    monkeypatch.setattr(assembling, "LOOK_SECONDS", 0)


async def conversation(host: Host) -> None:
    """The customer talks, is answered, interrupts, and is answered again across a stall of a second."""
    await host.show(10)
    host.customer(talks=True)
    await host.show(25)
    host.customer(talks=False)
    host.say(5, 10, 25)
    await host.show(22)
    host.customer(talks=True)
    host.playout.interrupt()
    await host.show(30)
    host.customer(talks=False)
    host.say(5, 10)
    await host.show(8)
    await host.show(12, skipped=25)


PICTURES = [
    *range(20),
    *range(15),
    *range(FIRST_SPOKEN, FIRST_SPOKEN + 22),
]


def film(objects, recording: Recording) -> bytes:
    recording.refresh_from_db()
    assert recording.status == "ready", (recording.failure_code, recording.failure_message)
    return objects.objects[recording.key]


def heard(data: bytes) -> np.ndarray:
    """The sound of both sides, int16 scale, shape (2, samples)."""
    with av.open(io.BytesIO(data)) as container:
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(parts, axis=1) * 32768


def shown(data: bytes) -> list[tuple[int, int]]:
    """(frame, number in the picture) of every picture."""
    with av.open(io.BytesIO(data)) as container:
        frames = [round(frame.time * 25) for frame in container.decode(video=0)]
    return list(zip(frames, decoded_numbers(data), strict=True))


def samples(frame: int) -> int:
    return frame * SAMPLES_PER_FRAME


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def test_the_film_shows_what_was_played(alice, avatar, objects, broker):
    session, fence = begun(alice, avatar, objects)
    recorded(objects, session, fence, conversation)
    recording = ended(session)
    assembling.assemble_recording(recording.pk)

    pictures = shown(film(objects, recording))
    assert [number for _, number in pictures[:57]] == PICTURES
    frames = [frame for frame, _ in pictures]
    # The stall: the picture of the eighth frame stands, and the next one follows 25 frames later.
    assert frames == [*range(95), *range(120, 132)]
    first = FIRST_SPOKEN + 40
    answer = [(frame, number) for frame, number in pictures if number >= first]
    assert answer == list(zip([*range(87, 95), *range(120, 127)], range(first, first + 15), strict=True))


def test_both_voices_are_where_they_were_heard(alice, avatar, objects, broker):
    session, fence = begun(alice, avatar, objects)
    recorded(objects, session, fence, conversation)
    recording = ended(session)
    assembling.assemble_recording(recording.pk)

    left, right = heard(film(objects, recording))
    assert likeness(left[samples(35) : samples(57)], AVATAR_VOICE[: samples(22)]) > 0.99
    assert likeness(right[samples(10) : samples(35) : 3], CUSTOMER_VOICE[: 25 * 640]) > 0.99
    assert likeness(right[samples(57) : samples(87) : 3], CUSTOMER_VOICE[: 30 * 640]) > 0.99
    assert np.abs(right[samples(36) : samples(56)]).max() < 30


def test_sound_that_was_interrupted_ends_within_five_milliseconds_and_without_a_click(
    alice, avatar, objects, broker
):
    session, fence = begun(alice, avatar, objects)
    recorded(objects, session, fence, conversation)
    recording = ended(session)
    assembling.assemble_recording(recording.pk)

    left = heard(film(objects, recording))[0]
    cut = samples(57)
    loud = np.abs(left[cut - 1920 : cut - 240]).max()
    assert loud > 1000
    assert np.abs(left[cut + 48 : cut + 1920]).max() < 0.02 * loud
    assert (
        np.abs(np.diff(left[cut - 480 : cut + 480])).max() <= 1.2 * np.abs(np.diff(left[: cut - 480])).max()
    )


def test_the_recording_is_as_long_as_the_session(alice, avatar, objects, broker):
    session, fence = begun(alice, avatar, objects)
    recorded(objects, session, fence, conversation)
    recording = ended(session)
    assembling.assemble_recording(recording.pk)

    recording.refresh_from_db()
    assert recording.duration_ms == 132 * 40
    assert abs(heard(film(objects, recording)).shape[1] - samples(132)) <= 1024
    assert recording.bytes == len(objects.objects[recording.key])
    assert (recording.width, recording.height) == (128, 160)


def test_both_voices_may_be_mixed(alice, avatar, objects, broker, settings):
    settings.RECORDING_LAYOUT = "mixed"
    session, fence = begun(alice, avatar, objects)

    async def script(host: Host) -> None:
        await host.show(3)
        host.customer(talks=True)
        host.say(10)
        await host.show(20)

    recorded(objects, session, fence, script)
    recording = ended(session)
    assembling.assemble_recording(recording.pk)

    data = film(objects, recording)
    left, right = heard(data)
    begin = samples(next(frame for frame, number in shown(data) if number == FIRST_SPOKEN))
    assert np.array_equal(left, right)
    customer = np.repeat(CUSTOMER_VOICE[: 20 * 640].astype(float), 3)
    rest = left[begin : begin + samples(10)] - customer[begin - samples(3) : begin - samples(3) + samples(10)]
    assert likeness(rest, AVATAR_VOICE[: samples(10)]) > 0.9


def test_a_session_whose_host_was_killed_is_kept_up_to_then(alice, avatar, objects, broker):
    session, fence = begun(alice, avatar, objects)

    async def script(host: Host) -> None:
        host.customer(talks=True)
        await host.show(30)
        host.say(10, last=False)
        await host.show(8)

    killed(objects, session, fence, script)
    recording = ended(session, "host_lost")
    turn_back(session, 60, "ended_at")
    assembling.assemble_recording(recording.pk)

    data = film(objects, recording)
    assert len(shown(data)) == 38
    assert likeness(heard(data)[1][: samples(30) : 3], CUSTOMER_VOICE[: 30 * 640]) > 0.99


def test_the_time_between_two_hosts_shows_the_idle_loop(alice, avatar, objects, broker):
    session, fence = begun(alice, avatar, objects)

    async def first(host: Host) -> None:
        host.say(10, last=False)
        await host.show(8)

    async def second(host: Host) -> None:
        await host.show(10)

    killed(objects, session, fence, first)
    turn_back(session, 60, "host_lease_until")
    newer = services.host_claim(session.pk, "web-2")
    recorded(objects, session, newer, second, first_frame=100)
    recording = ended(session)
    assembling.assemble_recording(recording.pk)

    pictures = shown(film(objects, recording))
    assert [frame for frame, _ in pictures] == list(range(110))
    assert all(number < FIRST_SPOKEN for _, number in pictures[8:])
    assert heard(film(objects, recording))[0][samples(9) :].max() < 30


def test_it_waits_for_what_the_host_still_holds(alice, avatar, objects, broker):
    session, fence = begun(alice, avatar, objects)
    killed(objects, session, fence, lambda host: host.show(10))
    recording = ended(session)
    assembling.assemble_recording(recording.pk)
    recording.refresh_from_db()
    assert recording.status == "assembling"
    assert recording.lease_until is None
    assert recording.attempts == 0

    Recording.objects.update(next_attempt_at=None)
    turn_back(session, 200, "ended_at")
    assembling.assemble_recording(recording.pk)
    assert len(shown(film(objects, recording))) == 10


def test_the_owner_is_told_once_and_the_parts_are_gone(alice, avatar, objects, broker):
    webhooks.create_endpoint(alice, url="https://hooks.example.com/a")
    session, fence = begun(alice, avatar, objects)
    recorded(objects, session, fence, conversation)
    recording = ended(session)
    assembling.assemble_recording(recording.pk)
    assembling.assemble_recording(recording.pk)

    (told,) = Delivery.objects.filter(event_type="recording.ready")
    assert json.loads(told.body)["data"]["duration_ms"] == 132 * 40
    recording.refresh_from_db()
    assert recording.expires_at - recording.ready_at == timedelta(days=30)
    assert sorted(key for key in objects.objects if key.startswith("sessions/")) == [
        keys.recording(session.pk, "session.vtt"),
        keys.recording(session.pk, "video.mp4"),
    ]


def test_what_was_said_lies_beside_the_film(alice, avatar, objects, broker):
    session, fence = begun(alice, avatar, objects)
    recorded(objects, session, fence, conversation)
    Turn.objects.create(session=session, number=1, who="user", text="Hello", start_ms=400, end_ms=1400)
    recording = ended(session)
    assembling.assemble_recording(recording.pk)

    vtt = objects.objects[keys.recording(session.pk, "session.vtt")].decode()
    assert "00:00:00.400 --> 00:00:01.400" in vtt
    assert "Hello" in vtt


def test_ending_a_session_sends_its_recording_to_work(alice, avatar, objects, broker):
    session, _ = begun(alice, avatar, objects)
    recording = ended(session)

    assert (dispatch.RECORDING, "media", (recording.pk,)) in broker.messages


def test_a_recording_whose_message_was_lost_is_sent_again_once(alice, avatar, objects, broker):
    session, _ = begun(alice, avatar, objects)
    recording = ended(session)
    broker.messages.clear()
    assert upkeep.reconcile() == 0, "it was sent just now"
    Recording.objects.update(enqueued_at=timezone.now() - timedelta(minutes=1))

    assert upkeep.reconcile() == 1
    assert upkeep.reconcile() == 0
    assert list(broker.messages) == [(dispatch.RECORDING, "media", (recording.pk,))]


def test_the_queue_is_read_only_where_a_recording_may_be_lost(alice, avatar, objects, broker, monkeypatch):
    read: list[str] = []
    monkeypatch.setattr(dispatch, "waiting", lambda queue: read.append(queue) or set())
    session, _ = begun(alice, avatar, objects)
    assert upkeep.reconcile() == 0, "it still goes on"
    ended(session)
    assert upkeep.reconcile() == 0, "it was sent just now"
    assert read == []
    Recording.objects.update(enqueued_at=timezone.now() - timedelta(minutes=1))
    assert upkeep.reconcile() == 1
    assert read == [dispatch.MEDIA_QUEUE]


def test_recordings_that_are_over_cost_a_pass_one_query(
    alice, avatar, objects, broker, django_assert_num_queries
):
    session, _ = begun(alice, avatar, objects)
    ended(session)
    Recording.objects.update(status="ready")
    with django_assert_num_queries(1):
        assert upkeep.reconcile() == 0


def test_a_recording_that_nobody_moved_is_found(alice, avatar, objects, broker):
    session, _ = begun(alice, avatar, objects)
    recording = ended(session)
    broker.messages.clear()
    Recording.objects.update(status="recording", enqueued_at=None)

    assert upkeep.reconcile() == 1
    recording.refresh_from_db()
    assert recording.status == "assembling"


def test_a_session_without_media_has_nothing_to_show(alice, avatar, objects, broker):
    session, _ = begun(alice, avatar, objects)
    Session.objects.update(media_origin_at=None)
    recording = ended(session)
    assembling.assemble_recording(recording.pk)

    recording.refresh_from_db()
    assert (recording.status, recording.failure_code) == ("failed", "nothing_recorded")


def test_storage_may_be_away_when_it_is_joined(alice, avatar, objects, broker):
    session, fence = begun(alice, avatar, objects)
    recorded(objects, session, fence, conversation)
    recording = ended(session)
    objects.failure = StorageError("away")
    for _ in range(6):
        assembling.assemble_recording(recording.pk)
        Recording.objects.update(next_attempt_at=None)
    objects.failure = None
    assembling.assemble_recording(recording.pk)

    assert film(objects, recording)


def test_a_damaged_part_costs_only_itself(alice, avatar, objects, broker):
    session, fence = begun(alice, avatar, objects)

    async def script(host: Host) -> None:
        await host.show(20)
        await host.stored()
        await host.show(20)
        await host.stored()
        await host.show(20)

    recorded(objects, session, fence, script)
    recording = ended(session)
    second = sorted(key for key in objects.objects if "/parts/" in key)[1]
    objects.damage(second)
    assembling.assemble_recording(recording.pk)

    assert shown(film(objects, recording))[-1][0] == 59


def test_a_fragment_of_other_parameters_is_left_out(alice, avatar, objects, broker, monkeypatch):
    session, fence = begun(alice, avatar, objects)

    async def script(host: Host) -> None:
        await host.show(5)
        host.recorder.fragment = lambda fragment, pcm, number: type(host.recorder).fragment(
            host.recorder, b"no film", pcm, number
        )
        host.say(10)
        await host.show(15)

    recorded(objects, session, fence, script)
    recording = ended(session)
    assembling.assemble_recording(recording.pk)

    data = film(objects, recording)
    assert all(number < FIRST_SPOKEN for _, number in shown(data))
    assert np.abs(heard(data)[0]).max() > 1000, "it is heard all the same"


def test_one_that_is_erased_meanwhile_leaves_nothing(alice, avatar, objects, broker, monkeypatch):
    session, fence = begun(alice, avatar, objects)
    recorded(objects, session, fence, conversation)
    recording = ended(session)
    put = objects.put_file

    def erased_meanwhile(*args):
        erasing.recording_erase(Recording.objects.get(pk=recording.pk))
        return put(*args)

    monkeypatch.setattr(objects, "put_file", erased_meanwhile)
    assembling.assemble_recording(recording.pk)

    recording.refresh_from_db()
    assert recording.status == "erased"
    assert not [key for key in objects.objects if key.startswith("sessions/")]


def test_a_worker_that_dies_again_and_again_ends_it(alice, avatar, objects, broker):
    session, _ = begun(alice, avatar, objects)
    recording = ended(session)
    Recording.objects.update(attempts=assembling.MAX_ATTEMPTS, lease_until=timezone.now())
    assembling.assemble_recording(recording.pk)

    recording.refresh_from_db()
    assert (recording.status, recording.failure_code) == ("failed", "worker_lost")


def test_two_workers_do_not_join_the_same_recording(alice, avatar, objects, broker):
    session, fence = begun(alice, avatar, objects)
    recorded(objects, session, fence, lambda host: host.show(10))
    recording = ended(session)
    Recording.objects.update(lease_until=timezone.now() + timedelta(seconds=10), lease_token="other")
    assembling.assemble_recording(recording.pk)

    recording.refresh_from_db()
    assert (recording.status, recording.lease_token) == ("assembling", "other")


def test_objects_without_a_session_are_collected(alice, avatar, objects, broker):
    session, fence = begun(alice, avatar, objects)
    recorded(objects, session, fence, lambda host: host.show(10))
    objects.put_bytes(keys.recording_part("ses_gone", 1, 0), b"", "x/y")
    for key in objects.modified_at:
        objects.modified_at[key] -= timedelta(days=2)

    assert upkeep.collect_orphans() == 1
    assert any(session.pk in key for key in objects.objects)


def test_the_loop_that_a_recording_needs_is_kept_until_it_is_joined(alice, avatar, objects, broker):
    """The avatar was prepared anew while somebody talked with it."""
    session, fence = begun(alice, avatar, objects)
    old = keys.avatar_file(avatar.pk, 1, "idle.mp4")
    objects.put_bytes(old, objects.objects["idle.mp4"], "video/mp4")
    Session.objects.update(idle_key=old)
    new = keys.avatar_file(avatar.pk, 2, "bundle.bin")
    Avatar.objects.update(version=2, bundle_key=new, updated_at=timezone.now() - timedelta(days=1))

    versions.collect_old()
    assert old in objects.objects
    recorded(objects, session, fence, lambda host: host.show(10))
    recording = ended(session)
    versions.collect_old()
    assembling.assemble_recording(recording.pk)
    assert len(shown(film(objects, recording))) == 10
    versions.collect_old()
    assert old not in objects.objects
