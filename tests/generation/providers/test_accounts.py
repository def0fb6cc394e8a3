"""Which providers are configured, and who serves in which order."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from generation import providers, voices
from generation.providers import accounts, chains
from generation.providers import wishes as chain_wishes
from project.env import env_providers
from project.errors import InvalidInput, Unavailable
from tests.support.elevenlabs import ElevenLabsService
from workers.speech.chain import FallbackSynthesizer


def test_a_prefix_says_which_variables_belong_to_a_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text("id: mine\ncredentials: MINE\n")
    (tmp_path / "other.yaml").write_text("id: other\ncredentials: MINE\n")
    (tmp_path / "free.yaml").write_text("id: free\n")
    (tmp_path / "secret").write_text("from-a-file\n")
    monkeypatch.setenv("MINE_BASE_URL", "https://mine.example.com/")
    monkeypatch.setenv("MINE_API_KEY_FILE", str(tmp_path / "secret"))
    read = env_providers([tmp_path])
    assert read == {"MINE": {"base_url": "https://mine.example.com", "api_key": "from-a-file", "model": ""}}


def test_a_prefix_that_is_no_variable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("id: bad\ncredentials: my-key\n")
    with pytest.raises(ImproperlyConfigured, match=r"bad\.yaml"):
        env_providers([tmp_path])


def test_a_provider_with_a_key_counts_as_configured(eleven: ElevenLabsService) -> None:
    endpoint = providers.endpoint("elevenlabs")
    assert endpoint is not None
    assert endpoint.base_url == eleven.url
    assert eleven.key not in repr(endpoint)
    assert "elevenlabs" in providers.configured("tts")


def test_a_provider_without_its_key_is_not_configured() -> None:
    assert providers.endpoint("elevenlabs") is None
    assert "elevenlabs" not in providers.configured("tts")
    assert "local" in providers.configured("tts")


def test_a_public_service_without_a_key_is_used_only_where_it_is_named(settings: Any) -> None:
    settings.TTS_PROVIDERS = ["local"]
    open_ones = [
        name
        for name, one in accounts.known().items()
        if not one.needs_key and one.credentials not in ("", "LLM")
    ]
    assert open_ones
    assert not [name for name in open_ones if accounts.is_configured(name)]


def test_the_scripted_model_answers_where_nobody_else_is_configured(settings: Any) -> None:
    settings.LLM_BASE_URL = ""
    assert providers.configured("llm") == ["scripted"]
    assert chains.chain("llm") == []


async def test_a_language_model_is_made_once_for_a_loop(settings: Any) -> None:
    settings.LLM_BASE_URL = ""
    assert providers.language_model() is providers.language_model()


def test_the_first_wish_that_names_providers_decides() -> None:
    assert providers.asked("tts", {"stt": ["local"]}, {"tts": ["elevenlabs"]}) == ("elevenlabs",)
    assert providers.asked("llm", {}, {}) == ()


def test_those_that_are_not_configured_fall_out_of_a_chain(settings: Any) -> None:
    settings.TTS_PROVIDERS = ["elevenlabs", "local"]
    assert chains.chain("tts") == ["local"]
    assert chains.chain("tts", ["local"]) == ["local"]


def test_a_wish_for_those_who_are_no_longer_configured_is_as_none(settings: Any) -> None:
    settings.STT_PROVIDERS = ["local"]
    assert chains.chain("stt", ["openai"]) == ["local"]
    assert chains.chain("stt", ["openai", "local"]) == ["local"]


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.yaml").write_text("id: [torn\n")
    with pytest.raises(ImproperlyConfigured, match=r"torn\.yaml"):
        env_providers([tmp_path])


@pytest.mark.django_db
class TestSpeaking:
    def test_the_voices_own_provider_comes_first_and_the_chain_follows(
        self, eleven: ElevenLabsService, settings: Any
    ) -> None:
        settings.TTS_PROVIDERS = ["local"]
        sarah = voices.get("elevenlabs:EXAVITQu4vr4xnSDxMaL")
        order = chains.speaking(sarah)
        assert [voice.provider for voice in order] == ["elevenlabs", "local"]
        assert order[1].gender == sarah.gender
        assert order[1].language.startswith("en")

    def test_a_wish_takes_the_place_of_the_installations_chain(
        self, eleven: ElevenLabsService, settings: Any
    ) -> None:
        settings.TTS_PROVIDERS = ["elevenlabs"]
        assert [voice.provider for voice in chains.speaking(voices.get("en-joe"), ["local"])] == ["local"]

    def test_nobody_who_does_not_speak_the_language_takes_over(self, settings: Any) -> None:
        settings.TTS_PROVIDERS = ["local"]
        joe = voices.get("en-joe")
        assert chains._like(joe, "local") is not None
        assert chains._like(dataclasses.replace(joe, language="fi-FI"), "local") is None

    def test_a_sample_is_spoken_by_its_own_voice_or_not_at_all(
        self, eleven: ElevenLabsService, settings: Any
    ) -> None:
        sarah = voices.get("elevenlabs:EXAVITQu4vr4xnSDxMaL")
        settings.PROVIDERS = {}
        assert isinstance(voices.synthesizer(sarah), FallbackSynthesizer)  # the chain's
        with pytest.raises(Unavailable) as refused:
            voices.synthesizer(sarah, alone=True)
        assert refused.value.code == "provider_not_configured"


@pytest.mark.django_db
def test_the_voice_of_a_stored_session_is_followed_where_its_provider_was_taken_away(settings: Any) -> None:
    settings.TTS_PROVIDERS = ["local"]
    sarah = "elevenlabs:EXAVITQu4vr4xnSDxMaL"
    assert voices.find(sarah) is None
    stored = voices.kept(sarah)
    assert stored is not None
    assert [voice.provider for voice in chains.speaking(stored)] == ["local"]
    assert voices.kept("nobody") is None
    assert voices.kept("clone:nobody") is None


@pytest.mark.django_db
def test_a_voice_says_why_it_cannot_be_had() -> None:
    with pytest.raises(InvalidInput) as refused:
        voices.get("elevenlabs:EXAVITQu4vr4xnSDxMaL")
    assert refused.value.code == "provider_not_configured"
    with pytest.raises(InvalidInput) as refused:
        voices.get("nobody")
    assert refused.value.code == "voice_not_found"


@pytest.mark.parametrize(
    ("wish", "code", "pointer"),
    [
        ({"tts": ["nobody"]}, "provider_unknown", "/providers/tts/0"),
        ({"tts": ["local", "elevenlabs"]}, "provider_not_configured", "/providers/tts/1"),
        ({"tts": ["llm"]}, "provider_unknown", "/providers/tts/0"),
        ({"tts": "local"}, "invalid", "/providers/tts"),
        ({"tts": [7]}, "invalid", "/providers/tts"),
        ({"llm": ["scripted"]}, "invalid", "/providers/llm"),
        ({"tts": ["local"] * 9}, "invalid", "/providers/tts"),
        (["local"], "invalid", "/providers"),
    ],
)
def test_a_wish_that_cannot_be_met_names_the_field(wish: Any, code: str, pointer: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        chain_wishes.check(wish, ("tts", "stt"))
    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_a_wish_is_kept_as_it_was_asked_for_once_each() -> None:
    assert chain_wishes.check({"tts": ["local", "local"], "stt": None}, ("tts", "stt")) == {"tts": ["local"]}
    assert chain_wishes.check(None, ("tts",)) == {}
