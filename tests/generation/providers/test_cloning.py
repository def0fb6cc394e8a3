"""Copied voices: with consent alone, once each, their owners' alone, and gone when they are deleted."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError
from django.utils import timezone
from rest_framework.test import APIClient

from generation import voices
from generation.providers import clones, cloning
from generation.providers.models import ClonedVoice, CloneStatus, VoiceConsent
from project.accounts.models import Allowance, User
from project.errors import InvalidInput, LimitReached
from tests.generation.providers.conftest import SECRET
from tests.support import media
from tests.support.clips import Broker
from tests.support.elevenlabs import ElevenLabsService
from tests.support.objects import MemoryStore
from workers.adapters.errors import AdapterError

pytestmark = pytest.mark.django_db(transaction=True)


def _recording(seconds: float = 6.0, level: float = 1.0) -> SimpleUploadedFile:
    sound = (media.voice(seconds) * level).astype(np.int16)
    return SimpleUploadedFile("me.wav", media.wav(sound), "audio/wav")


def _wish(**changes: Any) -> dict[str, Any]:
    return {
        "name": "My own",
        "provider": "elevenlabs",
        "language": "en-US",
        "file": _recording(),
        "consent": "true",
        "consent_version": clones.CONSENT_VERSION,
        "speaker": "Alice Example",
    } | changes


@pytest.fixture
def client(
    api: Callable[[User], APIClient],
    alice: User,
    broker: Broker,
    objects: MemoryStore,
    eleven: ElevenLabsService,
) -> APIClient:
    return api(alice)


@pytest.fixture
def post(client: APIClient) -> Callable[..., Any]:
    return lambda **changes: client.post("/api/v1/voices", _wish(**changes), format="multipart")


def _row() -> ClonedVoice:
    return ClonedVoice.objects.get()


def test_a_voice_is_copied_and_speaks(
    post: Callable[..., Any], client: APIClient, broker: Broker, eleven: ElevenLabsService, alice: User
) -> None:
    answer = post()
    assert answer.status_code == 202
    body = answer.json()
    assert body["status"] == "preparing"
    assert body["preview_url"] is None
    assert answer["Location"].endswith(body["id"])
    broker.run()
    shown = client.get(answer["Location"]).json()
    assert shown["status"] == "ready"
    assert shown["consent"]["speaker"] == "Alice Example"
    assert body["id"] in [voice["id"] for voice in client.get("/api/v1/voices").json()]
    assert voices.get(body["id"], alice).provider_voice in eleven.voices
    assert client.get(f"/api/v1/voices/{body['id']}/preview").status_code == 302


def test_the_recording_is_sent_as_levelled_mono_and_then_removed(
    post: Callable[..., Any], broker: Broker, eleven: ElevenLabsService, objects: MemoryStore
) -> None:
    post(file=_recording(level=0.1))
    sound = objects.get_bytes(_row().sound_key)
    assert int.from_bytes(sound[22:24], "little") == 1
    assert int.from_bytes(sound[24:28], "little") == 24_000
    assert np.abs(np.frombuffer(sound[44:], "<i2")).max() > 0.1 * 32768
    broker.run()
    assert eleven.requests[-1]["files"] == sound
    assert _row().sound_key == ""
    assert not list(objects.list("clones/"))


def test_the_consent_is_written_down(post: Callable[..., Any], alice: User) -> None:
    post()
    consent = _row().consent
    assert consent.given_by == alice
    assert (consent.account, consent.speaker) == (alice.email, "Alice Example")
    assert (consent.statement, consent.version) == (clones.CONSENT_TEXT, clones.CONSENT_VERSION)
    assert consent.ip == "127.0.0.1"


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"consent": "false"}, "consent_required", "/consent"),
        ({"consent_version": "2001-01"}, "consent_outdated", "/consent_version"),
        ({"speaker": " "}, "blank", "/speaker"),
        ({"provider": "nobody"}, "provider_unknown", "/provider"),
        ({"provider": "local"}, "provider_unknown", "/provider"),
        ({"provider": "qwen"}, "provider_not_configured", "/provider"),
        ({"file": _recording(1.0)}, "too_short", "/file"),
        (
            {"file": SimpleUploadedFile("a.wav", media.wav(np.zeros(48_000 * 6, np.int16)))},
            "sound_silent",
            "/file",
        ),
        ({"file": SimpleUploadedFile("a.wav", b"no sound at all, but text")}, "unreadable_media", "/file"),
        ({"language": "English!"}, "invalid", "/language"),
    ],
)
def test_what_cannot_be_copied_leaves_nothing_behind(
    post: Callable[..., Any], objects: MemoryStore, changes: dict[str, Any], code: str, pointer: str
) -> None:
    answer = post(**changes)
    assert answer.status_code in (400, 415)
    assert [(error["code"], error["pointer"]) for error in answer.json()["errors"]] == [(code, pointer)]
    assert not ClonedVoice.objects.exists()
    assert not VoiceConsent.objects.exists()
    assert not list(objects.list("clones/"))


def test_the_consent_cannot_be_left_out(client: APIClient) -> None:
    wish = _wish()
    del wish["consent"]
    answer = client.post("/api/v1/voices", wish, format="multipart")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/consent"


def test_the_service_itself_asks_for_consent(
    alice: User, broker: Broker, objects: MemoryStore, eleven: ElevenLabsService
) -> None:
    refusal = clones.Consent("Alice", clones.CONSENT_VERSION, agreed=False)
    with pytest.raises(InvalidInput):
        clones.clone_create(alice, clones.Wish("mine", "elevenlabs", "en"), _recording(), refusal)


def test_the_database_holds_no_copy_without_a_consent(alice: User) -> None:
    with pytest.raises(IntegrityError):
        ClonedVoice.objects.create(owner=alice, name="stolen", provider="elevenlabs", language="en")


def test_a_message_that_comes_twice_makes_one_copy(
    post: Callable[..., Any], broker: Broker, eleven: ElevenLabsService
) -> None:
    post()
    broker.messages.append(broker.messages[0])
    broker.run()
    cloning.work(_row().pk)
    assert len(eleven.voices) == 1
    assert _row().status == CloneStatus.READY


def test_a_lost_message_is_sent_again(post: Callable[..., Any], broker: Broker) -> None:
    broker.away = True
    post()
    broker.away = False
    cloning.reconcile()
    broker.run()
    assert _row().status == CloneStatus.READY


def test_work_that_somebody_holds_is_left_alone(
    post: Callable[..., Any], broker: Broker, eleven: ElevenLabsService
) -> None:
    post()
    ClonedVoice.objects.update(lease_token="theirs", lease_until=timezone.now() + timedelta(minutes=1))
    broker.run()
    cloning.reconcile()
    assert not broker.messages
    assert not eleven.voices


def test_a_provider_that_is_busy_is_tried_again_later(
    post: Callable[..., Any], broker: Broker, eleven: ElevenLabsService
) -> None:
    post()
    eleven.misbehave("500")
    broker.run()
    assert _row().status == CloneStatus.PREPARING
    cloning.work(_row().pk)
    assert not eleven.voices  # not before its time
    ClonedVoice.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    cloning.reconcile()
    broker.run()
    assert _row().status == CloneStatus.READY


@pytest.mark.parametrize("code", ["provider_timeout", "provider_truncated"])
def test_a_copy_that_may_have_been_made_is_not_made_again(
    post: Callable[..., Any], broker: Broker, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    post()
    asked: list[str] = []

    def lost(voice: ClonedVoice) -> Any:
        asked.append(voice.pk)
        raise AdapterError("gone", provider="elevenlabs", retryable=True, code=code)

    monkeypatch.setattr(cloning, "_made", lost)
    broker.run()
    cloning.reconcile()
    broker.run()
    assert len(asked) == 1
    assert (_row().status, _row().failure_code) == (CloneStatus.FAILED, code)


def test_a_recording_that_ends_its_worker_each_time_is_given_up(
    post: Callable[..., Any], broker: Broker, eleven: ElevenLabsService, objects: MemoryStore
) -> None:
    post()
    past = timezone.now() - timedelta(seconds=1)
    ClonedVoice.objects.update(attempts=cloning.CLONE_ATTEMPTS, lease_token="theirs", lease_until=past)
    broker.run()
    assert (_row().status, _row().failure_code) == (CloneStatus.FAILED, "internal_error")
    assert not eleven.voices
    assert not list(objects.list("clones/"))


def test_a_recording_that_no_row_tells_of_is_not_kept(
    post: Callable[..., Any], objects: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = clones.allowances_left
    asked: list[User] = []

    def gone_meanwhile(owner: User) -> None:
        asked.append(owner)
        if len(asked) > 1:
            raise LimitReached("full", code="cloned_voices_limit_reached", limit=1, used=1)
        left(owner)

    monkeypatch.setattr(clones, "allowances_left", gone_meanwhile)
    assert post().status_code == 429
    assert len(asked) == 2
    assert not list(objects.list("clones/"))


def test_a_refusal_for_good_fails_with_its_code_and_without_the_key(
    post: Callable[..., Any],
    client: APIClient,
    broker: Broker,
    eleven: ElevenLabsService,
    logs: pytest.LogCaptureFixture,
) -> None:
    location = post()["Location"]
    eleven.key = "withdrawn"
    broker.run()
    shown = client.get(location)
    assert shown.json()["status"] == "failed"
    assert shown.json()["failure"]["code"] == "provider_unauthorized"
    assert SECRET not in shown.content.decode() + logs.text + repr(_row().__dict__)


def test_a_stranger_finds_hears_uses_and_deletes_nothing(
    post: Callable[..., Any], broker: Broker, api: Callable[[User], APIClient], mallory: User
) -> None:
    voice = post().json()["id"]
    broker.run()
    stranger = api(mallory)
    assert stranger.get(f"/api/v1/voices/{voice}").status_code == 404
    assert stranger.get(f"/api/v1/voices/{voice}/preview").status_code == 404
    assert stranger.delete(f"/api/v1/voices/{voice}").status_code == 404
    assert voice not in [one["id"] for one in stranger.get("/api/v1/voices").json()]
    answer = stranger.post("/api/v1/personas", {"name": "Thief", "voice": voice})
    assert answer.json()["errors"][0]["code"] == "voice_not_found"
    assert _row().status == CloneStatus.READY


def test_a_deleted_voice_goes_at_the_provider_too(
    post: Callable[..., Any], client: APIClient, broker: Broker, eleven: ElevenLabsService
) -> None:
    voice = post().json()["id"]
    broker.run()
    assert client.delete(f"/api/v1/voices/{voice}").status_code == 204
    assert client.get(f"/api/v1/voices/{voice}").status_code == 404
    assert voices.find(voice) is None
    broker.run()
    assert not eleven.voices
    assert _row().status == CloneStatus.DELETED
    assert VoiceConsent.objects.count() == 1  # it says that there was a right to the copy


def test_removing_is_tried_until_it_is_done(
    post: Callable[..., Any], client: APIClient, broker: Broker, eleven: ElevenLabsService
) -> None:
    voice = post().json()["id"]
    broker.run()
    client.delete(f"/api/v1/voices/{voice}")
    eleven.misbehave("500")
    broker.run()
    assert len(eleven.voices) == 1
    assert _row().status == CloneStatus.DELETING
    ClonedVoice.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    cloning.reconcile()
    broker.run()
    assert not eleven.voices
    assert _row().status == CloneStatus.DELETED


def test_a_voice_deleted_while_it_is_copied_is_removed(
    post: Callable[..., Any], broker: Broker, eleven: ElevenLabsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    post()
    made = cloning._made

    def deleted_meanwhile(voice: ClonedVoice) -> Any:
        copy = made(voice)
        clones.clone_delete(voice)
        return copy

    monkeypatch.setattr(cloning, "_made", deleted_meanwhile)
    broker.run()
    assert not eleven.voices
    assert _row().status == CloneStatus.DELETED


def test_the_copies_of_an_account_that_is_gone_are_removed(
    post: Callable[..., Any], broker: Broker, eleven: ElevenLabsService, alice: User
) -> None:
    post()
    broker.run()
    alice.delete()
    cloning.reconcile()
    broker.run()
    assert not eleven.voices


def test_an_account_keeps_as_many_copies_as_it_may(
    post: Callable[..., Any], alice: User, objects: MemoryStore
) -> None:
    Allowance.objects.create(owner=alice, cloned_voices=1)
    assert post().status_code == 202
    answer = post()
    assert answer.status_code == 429
    assert answer.json()["code"] == "cloned_voices_limit_reached"
    assert ClonedVoice.objects.count() == 1


def test_no_link_is_given_out_where_storage_is_not_public(objects: MemoryStore) -> None:
    objects.put_bytes("clones/vcl_1/sound.wav", b"RIFF", "audio/wav")
    objects.presign_get = lambda *_, **__: "http://127.0.0.1:8333/parley/x?X-Amz-Signature=1"  # type: ignore[method-assign]
    assert cloning.public_link("clones/vcl_1/sound.wav") == ""


def test_the_key_of_a_provider_that_was_taken_away_is_waited_for(
    post: Callable[..., Any], client: APIClient, broker: Broker, settings: Any, eleven: ElevenLabsService
) -> None:
    voice = post().json()["id"]
    broker.run()
    client.delete(f"/api/v1/voices/{voice}")
    settings.PROVIDERS = {}
    broker.run()
    assert _row().status == CloneStatus.DELETING
    with pytest.raises(AdapterError):
        cloning._cloner("elevenlabs")


def test_what_has_to_be_agreed_to_can_be_read(client: APIClient) -> None:
    told = client.get("/api/v1/voices/consent").json()
    assert told["version"] == clones.CONSENT_VERSION
    assert [one["id"] for one in told["providers"]] == ["elevenlabs"]


def test_staff_can_look_at_consents_and_change_none(
    post: Callable[..., Any], client: APIClient, admin_client: Any
) -> None:
    post()
    page = admin_client.get("/admin/generation/voiceconsent/")
    assert "Alice Example" in page.content.decode()
    consent = _row().consent
    assert admin_client.get(f"/admin/generation/voiceconsent/{consent.pk}/change/").status_code == 200
    assert admin_client.post(f"/admin/generation/voiceconsent/{consent.pk}/delete/").status_code == 403
    assert admin_client.get(f"/admin/generation/clonedvoice/{_row().pk}/change/").status_code == 200
