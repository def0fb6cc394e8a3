import json

import pytest

from workers.adapters import registry
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.tts import voice_assets
from workers.adapters.tts.voice_assets import VoiceAssets

NOWHERE = Endpoint("http://127.0.0.1:9")


def cloner(**options: object):
    return registry.cloner("speech_service", NOWHERE, {"provider": "cosyvoice-local", **options})


async def test_a_recording_in_the_shared_folder_is_a_voice(tmp_path):
    made = await cloner(assets=str(tmp_path)).clone(
        name="Jo / ../", audio=b"RIFF", audio_url="", language="en-US"
    )
    prompt = VoiceAssets(tmp_path).prompt(made.provider_voice)
    assert prompt is not None
    place = tmp_path / "voices" / "clones" / made.provider_voice
    assert (place / "prompt.wav").read_bytes() == b"RIFF"
    meta = json.loads((place / "meta.json").read_text())
    assert (meta["name"], meta["provider"]) == ("Jo / ../", "cosyvoice-local")
    assert sorted(path.name for path in place.parent.iterdir()) == [made.provider_voice]


async def test_two_voices_of_one_name_are_two(tmp_path):
    wish = {"name": "Jo", "audio": b"RIFF", "audio_url": "", "language": "en"}
    one, two = [await cloner(assets=str(tmp_path)).clone(**wish) for _ in range(2)]
    assert one.provider_voice != two.provider_voice


async def test_a_voice_that_is_deleted_leaves_nothing(tmp_path):
    copies = cloner(assets=str(tmp_path))
    made = await copies.clone(name="Jo", audio=b"RIFF", audio_url="", language="en")
    await copies.delete(made.provider_voice)
    await copies.delete(made.provider_voice)
    await copies.delete("../../somewhere")
    assert list((tmp_path / "voices" / "clones").iterdir()) == []


@pytest.mark.parametrize("folder", ["", "/nonexistent-folder"])
async def test_without_a_folder_there_is_no_cloning(folder):
    with pytest.raises(AdapterError) as caught:
        await cloner(assets=folder).clone(name="Jo", audio=b"", audio_url="", language="en")
    assert not caught.value.retryable


async def test_the_installation_s_folder_counts_where_the_file_names_none(tmp_path):
    voice_assets.use(str(tmp_path), "/there")
    try:
        made = await cloner().clone(name="Jo", audio=b"RIFF", audio_url="", language="en")
        found = voice_assets.assets()
        assert found is not None
        prompt = found.prompt(made.provider_voice)
        assert prompt is not None
        assert prompt.audio == f"/there/voices/clones/{made.provider_voice}/prompt.wav"
    finally:
        voice_assets.use("")


async def test_voices_that_came_with_a_service_are_listed(tmp_path):
    for voice, meta in (
        ("guide", {"name": "The Guide", "language": "zh-CN", "gender": "female"}),
        ("other", {}),
    ):
        place = tmp_path / "voices" / "system" / voice
        place.mkdir(parents=True)
        (place / "prompt.wav").write_bytes(b"RIFF")
        (place / "meta.json").write_text(json.dumps(meta))
    lister = registry.lister("speech_service", NOWHERE, {"provider": "x", "assets": str(tmp_path)})
    one, two = await lister.voices()
    assert (one.provider_voice, one.name, one.language, one.gender) == (
        "guide",
        "The Guide",
        "zh-CN",
        "female",
    )
    assert (two.name, two.language, two.gender) == ("other", "", "neutral")
    assert await registry.lister("speech_service", NOWHERE, {"provider": "x"}).voices() == []
