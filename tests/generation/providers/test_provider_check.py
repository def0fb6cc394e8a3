"""`manage.py provider_check`: what it says of a provider that works, and of one that does not."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from project.bench.provider_stub import provider_stub
from tests.generation.providers.conftest import SECRET
from tests.support import media
from tests.support.dashscope import dashscope
from tests.support.elevenlabs import VOICE, ElevenLabsService
from tests.support.http_service import served
from tests.support.speech_services import SpeechServiceFake

pytestmark = pytest.mark.django_db(transaction=True)


def _checked(*args: str) -> str:
    out = io.StringIO()
    call_command("provider_check", *args, stdout=out, no_color=True)
    return out.getvalue()


def _refused(*args: str) -> tuple[str, str]:
    out = io.StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("provider_check", *args, stdout=out, no_color=True)
    return str(refused.value), out.getvalue()


def test_each_step_is_told_with_its_time(eleven: ElevenLabsService) -> None:
    told = _checked("elevenlabs", "--voice", VOICE)
    for step in ("connection", "first sound", "all of it"):
        line = next(line for line in told.splitlines() if step in line)
        assert " ms" in line
    assert "24000 Hz" in told
    assert "voices in" in told
    assert told.strip().endswith("elevenlabs works.")
    assert SECRET not in told


def test_a_voice_and_a_text_can_be_named(eleven: ElevenLabsService) -> None:
    told = _checked("elevenlabs", "--kind", "tts", "--voice", VOICE, "--text", "Good morning.")
    assert f"elevenlabs:{VOICE}" in told
    assert eleven.requests[-1]["text"].strip() == "Good morning."


def test_a_refused_key_is_told_without_the_key(
    eleven: ElevenLabsService, logs: pytest.LogCaptureFixture
) -> None:
    eleven.key = "another"
    verdict, told = _refused("elevenlabs", "--kind", "tts")
    assert "did not do its part" in verdict
    assert "provider_unauthorized" in told
    assert SECRET not in verdict + told + logs.text


def test_what_is_missing_is_named() -> None:
    assert "ELEVENLABS_API_KEY" in _refused("elevenlabs")[0]
    assert "There is no provider nobody" in _refused("nobody")[0]


def test_a_language_model_and_the_local_service_can_be_checked(settings: Any) -> None:
    with provider_stub(reply="Hello there.") as stub:
        settings.LLM_BASE_URL, settings.LLM_API_KEY, settings.SPEECH_URL = f"{stub.url}/v1", SECRET, stub.url
        assert "Hello there." in _checked("llm", "--kind", "llm")
        assert "heard:" in _checked("local", "--kind", "stt")
    assert "does not do tts" in _refused("llm", "--kind", "tts")[0]


def test_the_scripted_model_can_be_checked() -> None:
    assert "answered:" in _checked("scripted")


def test_a_service_of_one_s_own_says_whether_its_model_is_loaded(settings: Any) -> None:
    with served(SpeechServiceFake("cosyvoice")) as service:
        told = {"base_url": service.url, "api_key": "", "model": ""}
        settings.PROVIDERS = settings.PROVIDERS | {"COSYVOICE_LOCAL": told}
        service.loaded = False
        first = _checked("cosyvoice-local", "--kind", "tts")
        service.loaded = True
        second = _checked("cosyvoice-local", "--kind", "tts")
    assert "no model loaded yet" in first
    assert first.strip().endswith("works."), "some load it only when they are asked to speak"
    assert "no model" not in second
    assert "loaded" in second


def test_hearing_answering_and_vectors_can_be_checked(settings: Any, tmp_path: Path) -> None:
    sound = tmp_path / "speech.wav"
    sound.write_bytes(media.wav(media.voice(3.0)))
    with dashscope(key=SECRET) as server:
        settings.PROVIDERS = settings.PROVIDERS | {
            "DASHSCOPE": {"base_url": server.url, "api_key": SECRET, "model": ""}
        }
        told = _checked("dashscope", "--sound", str(sound))
    assert "heard:" in told
    assert "answered:" in told
    assert "a vector of" in told
    assert SECRET not in told
