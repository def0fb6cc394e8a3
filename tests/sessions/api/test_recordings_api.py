import json
from datetime import timedelta

import pytest
import redis
from django.db import transaction
from django.utils import timezone

from project.api.models import IdempotencyRecord
from project.errors import Conflict
from project.webhooks import services as webhooks
from project.webhooks.models import Delivery, WebhookEndpoint
from sessions import announcements, erasing, services, states, upkeep
from sessions.models import Recording, RecordingStatus, Session, Turn
from sessions.runtime.events import stream_key
from storage.errors import StorageError
from tests.support.sessions import started
from tests.support.valkey import valkey_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ended(alice, avatar, objects, host):
    """A session of Alice's that is over, with a transcript and a recording that is ready."""
    session, fence = started(alice, avatar, metadata={"visitor": 7})
    services.turn_save(
        session.pk, 1, fence=fence, who="user", text="My number is 4711.", start_ms=0, end_ms=900
    )
    services.session_end(session.pk, "client_ended")
    ready(Recording.objects.get(session=session), objects)
    return session


def ready(recording, objects, **columns):
    key = f"sessions/{recording.session_id}/result/video.mp4"
    objects.put_bytes(key, b"video", "video/mp4")
    objects.put_bytes(f"sessions/{recording.session_id}/microphone/000001.pcm", b"voice", "x/y")
    now = timezone.now()
    told = {"duration_ms": 900, "bytes": 5, "ready_at": now, "expires_at": now + timedelta(days=30)} | columns
    assert states.move_recording(recording.pk, RecordingStatus.READY, key=key, **told)


def path(session, tail=""):
    return f"/api/v1/recordings/{Recording.objects.get(session=session).pk}{tail}"


def test_recordings_are_listed_and_shown(client, ended) -> None:
    (row,) = client.get("/api/v1/recordings").json()["results"]
    assert (row["session"], row["status"], row["duration_ms"], row["bytes"]) == (ended.pk, "ready", 900, 5)
    assert client.get(path(ended)).json() == row
    assert client.get(f"/api/v1/recordings?session={ended.pk}").json()["results"] == [row]
    assert client.get("/api/v1/recordings?status=failed").json()["results"] == []
    assert client.get("/api/v1/recordings?status=lost").status_code == 400


def test_the_video_is_a_link_that_names_the_file(client, ended) -> None:
    shown, saved = client.get(path(ended, "/video")), client.get(path(ended, "/video?download=1"))
    assert (shown.status_code, saved.status_code) == (302, 302)
    assert f"sessions/{ended.pk}/result/video.mp4" in shown["Location"]
    assert "kind=inline" in shown["Location"]
    assert "kind=attachment" in saved["Location"]


def test_one_that_is_being_made_is_409_and_an_expired_one_410(client, alice, avatar, ended) -> None:
    running, _ = started(alice, avatar)
    assert client.get(path(running, "/video")).json()["code"] == "recording_not_ready"
    Recording.objects.filter(session=ended).update(expires_at=timezone.now())
    answer = client.get(path(ended, "/video"))
    assert (answer.status_code, answer.json()["code"]) == (410, "recording_expired")


def test_an_expired_one_is_purged_and_its_row_stays(client, ended, objects) -> None:
    Recording.objects.filter(session=ended).update(expires_at=timezone.now())
    upkeep.expire()
    assert not any(key.startswith(f"sessions/{ended.pk}/") for key in objects.objects)
    assert client.get(path(ended, "/video")).status_code == 410
    assert client.get(f"/api/v1/sessions/{ended.pk}/transcript").json()["turns"]


def test_a_recording_can_be_erased_and_its_transcript_stays(client, ended, objects) -> None:
    where = path(ended)
    assert client.delete(where).status_code == 204
    assert client.delete(where).status_code == 204
    assert not any(key.startswith(f"sessions/{ended.pk}/") for key in objects.objects)
    answer = client.get(f"{where}/video")
    assert (answer.status_code, answer.json()["code"]) == (410, "recording_erased")
    assert client.get("/api/v1/recordings").json()["results"] == []
    assert client.get(f"/api/v1/sessions/{ended.pk}/transcript").json()["turns"]


def test_one_of_a_running_session_cannot_be_erased_yet(client, alice, avatar) -> None:
    session, _ = started(alice, avatar)
    answer = client.delete(path(session))
    assert (answer.status_code, answer.json()["code"]) == (409, "session_running")


def test_an_erased_session_leaves_nothing(client, ended, objects) -> None:
    recording = path(ended)
    assert client.delete(f"/api/v1/sessions/{ended.pk}").status_code == 204
    for gone in (f"/api/v1/sessions/{ended.pk}", f"/api/v1/sessions/{ended.pk}/transcript", recording):
        assert client.get(gone).status_code == 404
    assert client.delete(f"/api/v1/sessions/{ended.pk}").status_code == 404
    assert client.get("/api/v1/sessions").json()["results"] == []
    assert client.get("/api/v1/sessions?search=4711").json()["results"] == []
    assert not any(key.startswith(f"sessions/{ended.pk}/") for key in objects.objects)
    row = Session.objects.get(pk=ended.pk)
    assert (row.metadata, row.persona_snapshot) == ({}, {})
    assert not Turn.objects.exists()


@pytest.mark.parametrize("running", [True, False])
def test_what_its_webhooks_told_is_erased_too(client, alice, avatar, host, running) -> None:
    WebhookEndpoint.objects.create(owner=alice, url="https://hooks.example/a")
    session, _ = started(alice, avatar, metadata={"phone": "4711"})
    host.failure = Conflict("nobody", code="session_not_active")
    if not running:
        services.session_end(session.pk, "client_ended")
        announcements.recording_ready(Recording.objects.get(session=session))
        assert all("4711" in row.body for row in Delivery.objects.all())
    assert client.delete(f"/api/v1/sessions/{session.pk}").status_code == 204
    assert Delivery.objects.count() == (1 if running else 2)
    for row in Delivery.objects.all():
        assert json.loads(row.body)["data"]["metadata"] == {}


def test_one_that_is_erased_while_it_runs_tells_no_metadata(alice, avatar) -> None:
    WebhookEndpoint.objects.create(owner=alice, url="https://hooks.example/a")
    session, _ = started(alice, avatar, metadata={"phone": "4711"})
    services.session_end(session.pk, "erased")
    assert json.loads(Delivery.objects.get().body)["data"]["metadata"] == {}


def test_what_was_kept_to_repeat_it_is_erased_too(client, avatar, host, settings) -> None:
    with valkey_server() as url:
        settings.REDIS_URL = url
        broker = redis.Redis.from_url(url)
        headers = {"Idempotency-Key": "k"}
        told = {"avatar": avatar.pk, "metadata": {"phone": "4711"}}
        session = client.post("/api/v1/sessions", told, format="json", headers=headers).json()["id"]
        broker.xadd(stream_key(session), {"event": "My number is 4711."})
        client.delete(f"/api/v1/sessions/{session}")
        assert broker.exists(stream_key(session)) == 0
        broker.close()
    assert not IdempotencyRecord.objects.exists()


def test_a_running_session_is_ended_and_erased_and_nothing_is_written_any_more(
    client, alice, avatar, host
) -> None:
    session, fence = started(alice, avatar)
    services.turn_save(session.pk, 1, fence=fence, who="user", text="Secret")
    host.failure = Conflict("nobody", code="session_not_active")
    assert client.delete(f"/api/v1/sessions/{session.pk}").status_code == 204
    assert Session.objects.get(pk=session.pk).end_reason == "erased"
    assert services.turn_save(session.pk, 2, fence=fence, who="avatar", text="Late") is False
    assert services.session_note(session.pk, fence, last_seq=9) is False
    recording = Recording.objects.get(session=session)
    assert recording.status == "erased"
    assert states.move_recording(recording.pk, RecordingStatus.READY) is False


def test_what_the_store_could_not_remove_is_removed_later(client, ended, objects) -> None:
    objects.failure = StorageError("away")
    assert client.delete(f"/api/v1/sessions/{ended.pk}").status_code == 204
    objects.failure = None
    objects.put_bytes(f"sessions/{ended.pk}/microphone/000002.pcm", b"late", "x/y")
    assert erasing.sweep() == 0, "somebody may still be writing"
    long_ago = timezone.now() - timedelta(minutes=10)
    Session.objects.filter(pk=ended.pk).update(erased_at=long_ago, ended_at=long_ago)
    assert erasing.sweep() >= 1
    assert objects.objects.keys() == {ended.avatar.bundle_key}
    Session.objects.filter(pk=ended.pk).update(erased_at=timezone.now() - timedelta(days=2))
    upkeep.expire()
    assert not Session.objects.filter(pk=ended.pk).exists()


def test_old_sessions_are_forgotten_with_their_transcripts(client, ended, settings) -> None:
    past = timezone.now() - timedelta(days=settings.SESSION_RETENTION_DAYS + 1)
    Session.objects.filter(pk=ended.pk).update(ended_at=past)
    upkeep.expire()
    assert Session.objects.filter(pk=ended.pk).exists(), "its recording is kept for longer"
    Recording.objects.filter(session=ended).update(expires_at=past)
    upkeep.expire()
    assert not Session.objects.filter(pk=ended.pk).exists()


@pytest.mark.parametrize(("method", "tail"), [("get", ""), ("get", "/video"), ("delete", "")])
def test_a_stranger_finds_nothing(stranger, ended, method, tail) -> None:
    for where in (path(ended, tail), f"/api/v1/recordings/rec_unknown{tail}"):
        answer = getattr(stranger, method)(where)
        assert (answer.status_code, answer.json()["code"]) == (404, "recording_not_found")
    assert Recording.objects.get(session=ended).status == "ready"


def test_the_transcript_can_be_read_and_downloaded(client, ended) -> None:
    told = client.get(f"/api/v1/sessions/{ended.pk}/transcript").json()
    assert (told["session"], told["status"], told["turns"][0]["text"]) == (
        ended.pk,
        "ended",
        "My number is 4711.",
    )
    answer = client.get(f"/api/v1/sessions/{ended.pk}/transcript.vtt?download=1")
    assert answer.headers["Content-Type"] == "text/vtt; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{ended.pk}.vtt"'
    assert "<v Customer>My number is 4711.</v>" in answer.content.decode()


def test_the_owner_is_told_when_it_ended_and_when_it_can_be_downloaded(
    alice, avatar, objects, transactional_db
) -> None:

    with transaction.atomic():
        webhooks.create_endpoint(alice, url="https://hooks.example.com/a")
    session, _ = started(alice, avatar, metadata={"visitor": 7})
    services.session_end(session.pk, "client_ended")
    recording = Recording.objects.select_related("session__owner").get(session=session)
    ready(recording, objects)
    recording.refresh_from_db()
    with transaction.atomic():
        announcements.recording_ready(recording)
    told = [json.loads(one.body) for one in Delivery.objects.order_by("created_at")]
    assert [one["type"] for one in told] == ["session.ended", "recording.ready"]
    ended, done = (one["data"] for one in told)
    assert (ended["id"], ended["end_reason"], ended["recording"]) == (
        session.pk,
        "client_ended",
        recording.pk,
    )
    assert (ended["metadata"], ended["turns"]) == ({"visitor": 7}, 0)
    assert (done["id"], done["session"], done["bytes"]) == (recording.pk, session.pk, 5)
    assert "X-Amz" not in str(told)
