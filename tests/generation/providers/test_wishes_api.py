"""`providers` in clips, sessions and personas: kept as asked, refused by name, and shown again."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from generation.avatars.models import Avatar
from generation.clips.models import Clip
from generation.providers import cloning
from project.accounts.models import Role, User
from sessions.models import Persona, Session
from tests.generation.providers.conftest import SECRET
from tests.generation.providers.test_cloning import _wish
from tests.support.clips import Broker
from tests.support.elevenlabs import ElevenLabsService
from tests.support.objects import MemoryStore

pytestmark = pytest.mark.django_db(transaction=True)
SCRIPT = "Good morning to all of you."
PLACES = [
    ("clips", {"script": SCRIPT}),
    ("sessions", {}),
    ("personas", {"name": "Guide"}),
]


@pytest.fixture
def client(api: Callable[[User], APIClient], alice: User, broker: Broker) -> APIClient:
    return api(alice)


def _post(client: APIClient, avatar: Avatar, what: str, body: dict[str, Any]) -> Any:
    named = {} if what == "personas" else {"avatar": avatar.pk}
    return client.post(f"/api/v1/{what}", named | body, format="json")


@pytest.mark.parametrize(("what", "body"), PLACES)
def test_a_chain_is_kept_and_shown(
    client: APIClient, avatar: Avatar, eleven: ElevenLabsService, what: str, body: dict[str, Any]
) -> None:
    wish = {"tts": ["elevenlabs", "local"], "stt": ["local"]}
    answer = _post(client, avatar, what, body | {"providers": wish})
    assert answer.status_code in (201, 202)
    assert answer.json()["providers"] == wish
    row: Any = {"clips": Clip, "sessions": Session, "personas": Persona}[what].objects.get(
        pk=answer.json()["id"]
    )
    assert row.providers == wish


@pytest.mark.parametrize(("what", "body"), PLACES)
@pytest.mark.parametrize(
    ("wish", "code", "pointer"),
    [
        ({"tts": ["nobody"]}, "provider_unknown", "/providers/tts/0"),
        ({"tts": ["local", "elevenlabs"]}, "provider_not_configured", "/providers/tts/1"),
        ({"stt": ["elevenlabs"]}, "provider_unknown", "/providers/stt/0"),
    ],
)
def test_a_provider_that_cannot_be_had_is_named(  # noqa: PLR0917 - fixtures
    client: APIClient, avatar: Avatar, what: str, body: dict[str, Any], wish: Any, code: str, pointer: str
) -> None:
    answer = _post(client, avatar, what, body | {"providers": wish})
    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert (error["code"], error["pointer"]) == (code, pointer)


@pytest.mark.parametrize(("what", "body"), PLACES)
@pytest.mark.parametrize(
    "wish", ["local", [], {"tts": "local"}, {"tts": [["local"]]}, {"everything": ["local"]}, 7]
)
def test_nonsense_is_refused_as_such(
    client: APIClient, avatar: Avatar, what: str, body: dict[str, Any], wish: Any
) -> None:
    answer = _post(client, avatar, what, body | {"providers": wish})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"].startswith("/providers")


def test_a_persona_can_be_given_others(client: APIClient, avatar: Avatar, eleven: ElevenLabsService) -> None:
    persona = _post(client, avatar, "personas", {"name": "Guide"}).json()["id"]
    patched = client.patch(f"/api/v1/personas/{persona}", {"providers": {"llm": ["scripted"]}}, format="json")
    assert patched.json()["providers"] == {"llm": ["scripted"]}
    refused = client.patch(f"/api/v1/personas/{persona}", {"providers": {"llm": ["openai"]}}, format="json")
    assert refused.json()["errors"][0]["code"] == "provider_not_configured"
    session = Session.objects.get(pk=_post(client, avatar, "sessions", {"persona": persona}).json()["id"])
    assert session.persona_snapshot["providers"] == {"llm": ["scripted"]}


def test_a_voice_whose_provider_has_no_key_says_so(client: APIClient, avatar: Avatar) -> None:
    for what, body in PLACES:
        answer = _post(client, avatar, what, body | {"voice": "elevenlabs:EXAVITQu4vr4xnSDxMaL"})
        error = answer.json()["errors"][0]
        assert (error["code"], error["pointer"]) == ("provider_not_configured", "/voice")


def test_a_copy_is_used_by_its_owner_and_through_what_staff_gave_it_to(
    api: Callable[[User], APIClient], broker: Broker, avatar: Avatar, eleven: ElevenLabsService, mallory: User
) -> None:
    staff = User.objects.create_user("staff@example.com", role=Role.ADMIN)
    voice = api(staff).post("/api/v1/voices", _wish(), format="multipart").json()["id"]
    cloning.work(voice.removeprefix("clone:"))
    assert _post(api(staff), avatar, "clips", {"script": SCRIPT, "voice": voice}).status_code == 202
    Persona.objects.create(slug="house", name="House", voice=voice)
    stranger = api(mallory)
    for what, body in PLACES:
        refused = _post(stranger, avatar, what, body | {"voice": voice})
        assert refused.json()["errors"][0]["code"] == "voice_not_found"
    assert _post(stranger, avatar, "sessions", {"persona": "house"}).json()["voice"] == voice


def test_a_clip_is_spoken_by_the_named_provider_while_the_voices_own_is_away(  # noqa: PLR0917 - fixtures
    client: APIClient,
    broker: Broker,
    avatar: Avatar,
    objects: MemoryStore,
    eleven: ElevenLabsService,
    logs: pytest.LogCaptureFixture,
) -> None:
    """Nobody listens where the local service should: another voice of the same language says all of it."""
    eleven.voices["EXAVITQu4vr4xnSDxMaL"] = {
        "voice_id": "EXAVITQu4vr4xnSDxMaL",
        "name": "Sarah",
        "labels": {},
    }
    wish = {"script": SCRIPT, "voice": "en-heart", "providers": {"tts": ["elevenlabs"]}}
    clip = _post(client, avatar, "clips", wish).json()["id"]
    broker.run()
    assert Clip.objects.get(pk=clip).status == "succeeded"
    assert any(request.get("text", "").strip() == SCRIPT for request in eleven.requests)
    assert SECRET not in logs.text + client.get(f"/api/v1/clips/{clip}").content.decode()
