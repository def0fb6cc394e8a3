import pytest

from workers.adapters.tts.voice_assets import VoiceAssets


def test_a_voice_that_was_added_is_found_until_it_is_removed(tmp_path):
    assets = VoiceAssets(tmp_path, "/models/voices-here")
    assets.add("clone_1", audio=b"RIFF", text=" Hello. ", meta={"name": "Jo"})
    prompt = assets.prompt("clone_1")
    assert prompt is not None
    assert (prompt.audio, prompt.text) == ("/models/voices-here/voices/clones/clone_1/prompt.wav", "Hello.")
    assets.remove("clone_1")
    assets.remove("clone_1")
    assert assets.prompt("clone_1") is None


def test_a_folder_without_words_or_facts_is_a_voice_all_the_same(tmp_path):
    place = tmp_path / "voices" / "system" / "guide"
    place.mkdir(parents=True)
    (place / "prompt.wav").write_bytes(b"RIFF")
    (place / "meta.json").write_text("{nonsense")
    assets = VoiceAssets(tmp_path)
    assert assets.listed() == [("guide", {})]
    prompt = assets.prompt("guide")
    assert prompt is not None
    assert prompt.text == ""


def test_voices_that_came_with_a_service_are_not_removed(tmp_path):
    place = tmp_path / "voices" / "system" / "guide"
    place.mkdir(parents=True)
    (place / "prompt.wav").write_bytes(b"RIFF")
    VoiceAssets(tmp_path).remove("guide")
    assert place.is_dir()


@pytest.mark.parametrize("voice", ["", ".", "..", "../x", "a/b", "/etc", "a" * 65, "-a", "a b", "ä", "a\n"])
def test_only_plain_names_are_voices(tmp_path, voice):
    assets = VoiceAssets(tmp_path)
    assert assets.prompt(voice) is None
    assets.remove(voice)
    with pytest.raises(ValueError, match="voice"):
        assets.add(voice, audio=b"", text="", meta={})
    assert not (tmp_path / "voices").exists()


def test_a_link_leads_nowhere(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "prompt.wav").write_bytes(b"secret")
    folder = tmp_path / "shared"
    (folder / "voices" / "clones").mkdir(parents=True)
    (folder / "voices" / "system").mkdir(parents=True)
    for kind in ("clones", "system"):
        (folder / "voices" / kind / "sly").symlink_to(outside)
    assets = VoiceAssets(folder)
    assert assets.prompt("sly") is None
    assert assets.listed() == []
    assets.remove("sly")
    assert (outside / "prompt.wav").exists()


def test_a_voice_is_never_seen_half_made(tmp_path, monkeypatch):
    assets = VoiceAssets(tmp_path)
    seen: list[object] = []
    rename = type(tmp_path).rename
    monkeypatch.setattr(
        type(tmp_path),
        "rename",
        lambda self, to: (seen.append(assets.prompt("clone_1")), rename(self, to))[1],
    )
    assets.add("clone_1", audio=b"RIFF", text="", meta={})
    assert seen == [None]
    assert assets.prompt("clone_1") is not None
