"""Files of providers."""

from pathlib import Path

import pytest

from workers.adapters import catalogue, registry
from workers.adapters.catalogue import KINDS
from workers.speech import voices

ACME = """
id: acme
name: Acme
credentials: ACME
base_url: https://api.acme.example
path: /v1
licence: Acme's terms
synthesis:
  adapter: openai_compatible
  model: talk-1
sample_texts:
  en: Hello.
voices:
  - provider_voice: ann
    name: Ann
    language: en-GB
    gender: female
    fallback: [en-heart]
    model: talk-2
  - id: acme-ben
    provider_voice: ben
    name: Ben
    language: zh-CN
    gender: male
    gain_db: 2.5
"""


@pytest.fixture(autouse=True)
def built_in_alone():
    yield
    catalogue.use(None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "acme.yaml").write_text(ACME)
    return tmp_path


def test_the_built_in_files_are_right():
    found = catalogue.providers()
    assert found["local"].synthesis["adapter"] == "openai_compatible"
    assert {voice.id for voice in voices.list_voices(list(found))} >= {"en-heart", "ja-kumo"}


def test_every_adapter_that_a_file_names_is_registered():
    tables = {
        "synthesis": registry.SYNTHESIZERS,
        "recognition": registry.RECOGNIZERS,
        "language_model": registry.LANGUAGE_MODELS,
        "embedding": registry.EMBEDDERS,
        "cloning": registry.CLONERS,
        "listing": registry.LISTERS,
    }
    assert set(tables) == set(KINDS)
    for provider in catalogue.providers().values():
        for kind, table in tables.items():
            named = getattr(provider, kind).get("adapter")
            assert named is None or named in table, f"{provider.id}: {kind}"


def test_voices_that_take_over_exist():
    known = {voice.id for voice in voices.list_voices(list(catalogue.providers()))}
    for voice in voices.list_voices(list(catalogue.providers())):
        assert set(voice.fallback) <= known, voice.id


def test_an_operators_folder_adds_providers(folder: Path):
    catalogue.use(folder)
    acme = catalogue.providers()["acme"]
    assert (acme.credentials, acme.base_url, acme.path) == ("ACME", "https://api.acme.example", "/v1")
    assert acme.needs_key
    assert not acme.recognition
    catalogue.use(None)
    assert "acme" not in catalogue.providers()


def test_its_voices_are_named_after_it_where_they_have_no_id(folder: Path):
    catalogue.use(folder)
    ann, ben = voices.list_voices(["acme"])
    assert (ann.id, ann.fallback, ann.model, ann.sample_text) == (
        "acme:ann",
        ("en-heart",),
        "talk-2",
        "Hello.",
    )
    assert (ben.id, ben.gain_db, ben.model, ben.sample_text) == ("acme-ben", 2.5, "", "")
    assert voices.voice("acme:ann") is ann


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("licence:", "license:"), "unknown: license"),
        (("gender: female", "sex: female"), "unknown: sex"),
        (("    name: Ann\n", ""), "a voice needs name"),
        (("  adapter: openai_compatible\n", ""), "synthesis names no adapter"),
        (("name: Acme", "name: [1]"), "name is no text"),
        (("licence: Acme's terms", "needs_key: maybe"), "needs_key is neither"),
        (("id: acme\n", ""), "id and name are needed"),
        ((ACME, "- 1"), "no mapping"),
        ((ACME, "a: b: c"), "acme.yaml"),
    ],
)
def test_a_file_that_is_wrong_is_named(folder: Path, change: tuple[str, str], complaint: str):
    file = folder / "acme.yaml"
    file.write_text(ACME.replace(*change, 1))
    with pytest.raises(ValueError, match=r"acme\.yaml") as caught:
        catalogue.read(file)
    assert complaint in str(caught.value)


def test_two_files_of_one_id_are_a_mistake(folder: Path):
    (folder / "again.yaml").write_text(ACME)
    catalogue.use(folder)
    with pytest.raises(ValueError, match=r"again\.yaml: there is a provider acme already"):
        catalogue.providers()


def test_two_voices_of_one_id_are_a_mistake(folder: Path):
    (folder / "acme.yaml").write_text(ACME.replace("id: acme-ben", "id: en-heart"))
    catalogue.use(folder)
    with pytest.raises(ValueError, match="a voice en-heart already"):
        voices.voice("en-heart")
