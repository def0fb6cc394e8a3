import pytest

from tests.support.elevenlabs import KEY, elevenlabs
from tests.support.speech_server import tone, wav
from workers.adapters import registry
from workers.adapters.cloning.base import Cloner
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import SpeechRequest
from workers.adapters.tts.elevenlabs import ElevenLabs, ElevenLabsOptions

RECORDING = wav(tone(1000))


def cloner(url: str, key: str = KEY, **options: object) -> Cloner:
    return registry.cloner("elevenlabs", Endpoint(url, key), options)


async def test_a_copied_voice_speaks_is_listed_and_can_be_removed():
    with elevenlabs() as service:
        made = await cloner(service.url, model="eleven_flash_v2_5").clone(
            name="Mine", audio=RECORDING, audio_url="", language="de-DE"
        )
        speaking = ElevenLabs(Endpoint(service.url, KEY), ElevenLabsOptions())
        assert [e async for e in speaking.stream(SpeechRequest("Yes.", made.provider_voice, "de"))]
        listed = await registry.lister("elevenlabs", Endpoint(service.url, KEY), {}).voices()
        await cloner(service.url).delete(made.provider_voice)
        assert not service.voices
    assert made.model == "eleven_flash_v2_5"
    assert ("Mine", "de") in [(voice.name, voice.language) for voice in listed]
    assert service.requests[0]["files"] == RECORDING
    assert service.requests[0]["remove_background_noise"] == "false"


async def test_removing_what_is_not_there_is_no_error():
    with elevenlabs() as service:
        await cloner(service.url).delete("never was")


async def test_a_long_name_is_cut():
    with elevenlabs() as service:
        await cloner(service.url).clone(name="x" * 300, audio=RECORDING, audio_url="", language="")
    assert service.requests[0]["name"] == "x" * 100


async def test_a_voice_that_waits_for_a_verification_is_not_kept():
    with elevenlabs(unverified=True) as service:
        with pytest.raises(AdapterError) as caught:
            await cloner(service.url).clone(name="Mine", audio=RECORDING, audio_url="", language="en")
        assert not service.voices
    assert caught.value.code == "voice_unverified"


@pytest.mark.parametrize(
    ("way", "audio", "code"),
    [
        ("400 voice_limit_reached", RECORDING, "provider_quota"),
        ("429", RECORDING, "provider_busy"),
        ("", b"noise", "audio_unreadable"),
    ],
)
async def test_a_refusal_is_understood(way, audio, code):
    with elevenlabs(ways=[way]) as service:
        with pytest.raises(AdapterError) as caught:
            await cloner(service.url).clone(name="Mine", audio=audio, audio_url="", language="en")
        assert not service.voices
    assert caught.value.code == code
    assert caught.value.provider == "elevenlabs"


async def test_a_wrong_key_removes_nothing():
    with elevenlabs() as service:
        made = await cloner(service.url).clone(name="Mine", audio=RECORDING, audio_url="", language="en")
        with pytest.raises(AdapterError) as caught:
            await cloner(service.url, key="wrong").delete(made.provider_voice)
        assert service.voices
    assert caught.value.code == "provider_unauthorized"
