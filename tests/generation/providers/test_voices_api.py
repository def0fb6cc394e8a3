"""Voices over REST: those of files, those that providers list, and how they sound."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jsonschema
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from generation import voices
from generation.providers import listing
from generation.providers.models import VoiceListing
from project.accounts.models import User
from project.api import documents
from project.ids import new_id
from tests.generation.providers.conftest import SECRET
from tests.support.elevenlabs import VOICE, ElevenLabsService
from tests.support.objects import MemoryStore
from workers.adapters.cloning.dashscope import CosyVoiceCloner, Dialect, QwenCloner
from workers.adapters.endpoint import Endpoint

pytestmark = pytest.mark.django_db(transaction=True)
SARAH = "elevenlabs:EXAVITQu4vr4xnSDxMaL"


@pytest.fixture
def client(api: Callable[[User], APIClient], alice: User) -> APIClient:
    return api(alice)


def _ids(client: APIClient, query: str = "") -> list[str]:
    return [voice["id"] for voice in client.get(f"/api/v1/voices{query}").json()]


def test_only_voices_of_configured_providers_are_listed(client: APIClient) -> None:
    assert "en-joe" in _ids(client)
    assert SARAH not in _ids(client)


def test_the_list_is_asked_of_the_provider_by_a_task_and_kept(
    client: APIClient, eleven: ElevenLabsService
) -> None:
    before = _ids(client)
    assert listing.refresh() == ["elevenlabs"]
    after = _ids(client)
    assert len(after) > len(before)
    asked = len(eleven.transports)
    eleven.misbehave("500", "500", "500", "500")
    assert _ids(client) == after
    assert len(eleven.transports) == asked  # nobody was asked for it
    assert listing.refresh() == []  # fresh for a day


def test_a_provider_that_is_away_keeps_its_voices_and_is_tried_again_later(
    client: APIClient, eleven: ElevenLabsService, logs: pytest.LogCaptureFixture
) -> None:
    listing.refresh()
    known = _ids(client)
    VoiceListing.objects.update(listed_at=timezone.now() - timedelta(days=2), tried_at=None)
    eleven.misbehave(*["500"] * 8)
    assert listing.refresh() == []
    row = VoiceListing.objects.get(pk="elevenlabs")
    assert row.error_code
    assert _ids(client) == known
    assert listing.refresh() == []  # not before an hour has passed
    assert SECRET not in logs.text + repr(row.__dict__)


def test_a_listed_voice_can_be_had_by_its_id(eleven: ElevenLabsService) -> None:
    listing.refresh()
    listed = VoiceListing.objects.get(pk="elevenlabs").voices
    voice = voices.get(f"elevenlabs:{listed[-1]['provider_voice']}")
    assert voice.sample_text
    assert voice.provider == "elevenlabs"


def test_copies_of_customers_do_not_show_up_in_a_providers_list(eleven: ElevenLabsService) -> None:
    eleven.voices["cloned9"] = {
        "voice_id": "cloned9",
        "name": "vcl_0123",
        "category": "cloned",
        "labels": {"language": "en"},
    }
    listing.refresh()
    told = VoiceListing.objects.get(pk="elevenlabs").voices
    assert told
    assert "cloned9" not in [voice["provider_voice"] for voice in told]


@pytest.mark.parametrize("name", ["vcl_0123", new_id("vcl")], ids=["short", "real"])
@pytest.mark.parametrize("voices_of", [CosyVoiceCloner, QwenCloner])
async def test_no_copy_is_called_so_that_a_list_would_show_it(name: str, voices_of: Any) -> None:
    """Not even one whose maker never came to write its name down."""
    made: list[str] = []

    class Copying(voices_of):
        async def _make(self, action: str, field: str, **given: Any) -> str:
            made.append(str(given.get("prefix") or given.get("preferred_name")))
            return "there"

        async def _ready(self, voice: str) -> None: ...

    cloner = Copying(Endpoint("http://127.0.0.1:1"), Dialect(provider="x", model="m"), "qwen")
    await cloner.clone(name=name, audio=b"RIFF", audio_url="https://example.com/a.wav", language="en")
    assert listing.COPIES.search(f"m-{made[0]}-0a1b2c")


@pytest.mark.parametrize(
    ("query", "all_of"),
    [
        ("?provider=local", lambda v: v["provider"] == "local"),
        ("?language=ja", lambda v: v["language"] == "ja-JP"),
    ],
)
def test_the_list_can_be_narrowed(
    client: APIClient, eleven: ElevenLabsService, query: str, all_of: Callable[[Any], bool]
) -> None:
    found = client.get(f"/api/v1/voices{query}").json()
    assert found
    assert all(all_of(voice) for voice in found)
    assert client.get("/api/v1/voices?provider=nobody").json() == []


def test_every_voice_of_a_configured_provider_can_be_heard(
    client: APIClient, eleven: ElevenLabsService, objects: MemoryStore
) -> None:
    listing.refresh()
    voice = f"elevenlabs:{VOICE}"
    answer = client.get(f"/api/v1/voices/{voice}/preview")
    assert answer.status_code == 302
    asked = len(eleven.requests)
    assert client.get(f"/api/v1/voices/{voice}/preview").status_code == 302
    assert len(eleven.requests) == asked  # spoken once, and kept


def test_a_voice_that_cannot_be_heard_says_why_and_not_more(
    client: APIClient, eleven: ElevenLabsService, objects: MemoryStore, logs: pytest.LogCaptureFixture
) -> None:
    eleven.key = "another"  # the account's key was withdrawn
    answer = client.get(f"/api/v1/voices/{SARAH}/preview")
    assert answer.status_code == 503
    assert answer.json()["code"] == "provider_unauthorized"
    assert SECRET not in answer.content.decode() + logs.text
    asked = len(eleven.requests)
    assert client.get(f"/api/v1/voices/{SARAH}/preview").json()["code"] == "provider_unauthorized"
    assert len(eleven.requests) == asked  # not again at once, however often the button is pressed


def test_one_voice_can_be_shown(client: APIClient) -> None:
    assert client.get("/api/v1/voices/en-joe").json()["name"] == "Joe"
    assert client.get("/api/v1/voices/nobody").status_code == 404
    assert client.delete("/api/v1/voices/en-joe").json()["code"] == "voice_not_yours"


def test_strangers_see_no_voices() -> None:
    assert APIClient().get("/api/v1/voices").status_code == 401
    assert APIClient().get("/api/v1/providers").status_code == 401


def test_a_voice_is_what_the_document_says_it_is(client: APIClient) -> None:
    described = documents.as_dict()
    answers = described["paths"]["/api/v1/voices/{voice_id}"]["get"]["responses"]  # type: ignore[index]
    schema = answers["200"]["content"]["application/json"]["schema"]
    voice = client.get("/api/v1/voices/en-joe").json()
    jsonschema.validate(voice, {**described, **schema})
    assert "consent" not in voice
