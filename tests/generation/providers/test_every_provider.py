"""Every provider of speech against its faithful server: checked by hand, and its voices heard."""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

from generation import voices
from generation.providers import accounts, chains, listing
from project.accounts.models import User
from tests.generation.providers.conftest import SECRET
from tests.support.dashscope import dashscope
from tests.support.edge_service import edge_service
from tests.support.http_service import HttpService, served
from tests.support.mimo import Mimo
from tests.support.objects import MemoryStore
from tests.support.openai_speech import OpenAISpeech
from tests.support.speech_services import SpeechServiceFake

pytestmark = pytest.mark.django_db(transaction=True)
Serve = Callable[[], AbstractContextManager[str]]


def _http(make: Callable[[], HttpService]) -> Serve:
    @contextmanager
    def serve() -> Iterator[str]:
        with served(make()) as service:
            yield service.origin

    return serve


def _own(kind: str) -> Serve:
    return _http(lambda: SpeechServiceFake(kind, key=SECRET))


@contextmanager
def _dashscope() -> Iterator[str]:
    with dashscope(key=SECRET) as server:
        yield server.url


@contextmanager
def _edge() -> Iterator[str]:
    with edge_service() as service:
        yield service.url


SPEAKERS: dict[str, Serve] = {
    "openai": _http(lambda: OpenAISpeech(key=SECRET)),
    "mimo": _http(lambda: Mimo(key=SECRET)),
    "cosyvoice-local": _own("cosyvoice"),
    "qwen3-tts-local": _own("qwen3-tts"),
    "f5-tts-local": _own("f5-tts"),
    "indextts-local": _own("indextts"),
    "omnirt-indextts": _own("omnirt"),
    "qwen": _dashscope,
    "cosyvoice": _dashscope,
    "sambert": _dashscope,
    "edge": _edge,
}


@pytest.fixture(params=SPEAKERS)
def provider(request: pytest.FixtureRequest, settings: Any) -> Iterator[str]:
    name = request.param
    with SPEAKERS[name]() as url:
        account = {"base_url": url, "api_key": SECRET, "model": ""}
        settings.PROVIDERS = settings.PROVIDERS | {accounts.known()[name].credentials: account}
        yield name


def test_every_file_that_speaks_is_tried_here() -> None:
    speak = {name for name in accounts.known() if accounts.can(name, "tts")}
    assert speak == {*SPEAKERS, "elevenlabs", "local"}


def test_it_speaks_when_it_is_checked(provider: str, logs: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    call_command("provider_check", provider, "--kind", "tts", stdout=out, no_color=True)
    told = out.getvalue()
    assert "first sound" in told
    assert told.strip().endswith(f"{provider} works.")
    assert SECRET not in told + logs.text


def test_its_voices_are_offered_and_can_be_heard(
    provider: str, api: Callable[[User], APIClient], alice: User, objects: MemoryStore
) -> None:
    found = api(alice).get(f"/api/v1/voices?provider={provider}").json()
    assert found
    assert {voice["provider"] for voice in found} == {provider}
    answer = api(alice).get(found[0]["preview_url"].removeprefix("http://127.0.0.1:8000"))
    assert answer.status_code == 302


def test_a_voice_of_it_is_spoken_by_the_chain_while_it_is_away(provider: str, settings: Any) -> None:
    settings.TTS_PROVIDERS = ["local"]
    for voice in listing.voices_of(provider):
        followers = [other.provider for other in chains.speaking(voice)[1:]]
        spoken = voice.language.partition("-")[0] in ("en", "ja")
        assert ("local" in followers) == spoken


def test_no_two_voices_share_an_id_and_each_has_something_to_say(settings: Any) -> None:
    every = [voice for name in accounts.known() for voice in listing.voices_of(name)]
    assert len({voice.id for voice in every}) == len(every)
    assert all(voice.sample_text for voice in every)
    assert all(voice.gender in ("female", "male", "neutral") for voice in every)


def test_sample_texts_are_written_in_every_language_of_a_file() -> None:
    texts = listing._sample_texts()
    assert Path(listing.SAMPLE_TEXTS).is_file()
    assert {voice.language.partition("-")[0] for voice in voices.available()} <= set(texts)
