"""Files of measurements are read strictly, and carry no secrets."""

from dataclasses import dataclass

import pytest

from project.bench import config

GOOD = "name: tiny\nsubjects: [{model: mock}]\n"


@dataclass(frozen=True)
class Wishes:
    steps: tuple[int, ...] = (1,)
    seconds: float = 5.0


def written(tmp_path, text):
    file = tmp_path / "tiny.yaml"
    file.write_text(text)
    return file


def test_a_section_is_read_by_its_command(tmp_path):
    made = config.read(written(tmp_path, GOOD + "clip: {steps: [1, 2], seconds: 3}\n"))
    assert made.section("clip", Wishes) == Wishes((1, 2), 3.0)
    assert made.section("other", Wishes) == Wishes()
    assert made.common.subjects[0].model == "mock"
    assert made.common.stub is None
    assert made.told("clip") == {
        "name": "tiny",
        "subjects": [{"model": "mock"}],
        "clip": {"steps": [1, 2], "seconds": 3},
    }


def test_what_was_not_started_is_not_told_of_a_running_service(tmp_path):
    made = config.read(written(tmp_path, GOOD + "stub: {}\nstack: {render_workers: 2}\nclip: {warm: 1}\n"))
    assert set(made.told("clip")) == {"name", "subjects", "stub", "stack", "clip"}
    assert set(made.told("clip", attached=True)) == {"name", "subjects", "clip"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: tiny\n", "subjects: it is needed"),
        ("name: tiny\nsubjects: []\n", "one is needed"),
        ("name: 'A B'\nsubjects: [{model: mock}]\n", "is no name"),
        (GOOD + "clips: {}\n", "clips: nobody knows this field"),
        (GOOD + "stub: {first_tokens: 3}\n", r"stub\.first_tokens: nobody knows"),
        (GOOD + "stub: {first_token_ms: soon}\n", r"stub\.first_token_ms: a number is needed"),
        (GOOD + "stack: {render_workers: true}\n", r"stack\.render_workers: a whole number"),
        (GOOD + "stack: {environment: {LLM_API_KEY: sk}}\n", "results are published"),
        (GOOD + "stack: {environment: {DATABASE_URL: 'postgres://me:pw@db/x'}}\n", "results are published"),
        (GOOD + "name: again\n", "stands there twice"),
        ("- 1\n", "fields are needed"),
        ("{", "it is no YAML"),
    ],
)
def test_nonsense_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        config.read(written(tmp_path, text))
    assert "tiny.yaml" in str(caught.value)


def test_a_wrong_section_names_its_field(tmp_path):
    made = config.read(written(tmp_path, GOOD + "clip: {steps: [1, two]}\n"))
    with pytest.raises(ValueError, match=r"clip\.steps\[1\]: a whole number"):
        made.section("clip", Wishes)


def test_a_file_is_found_by_its_name():
    assert config.path("short").name == "short.yaml"
    with pytest.raises(ValueError, match="short"):
        config.path("no-such-file")


@pytest.mark.parametrize("file", sorted(config.FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_committed_file_can_be_read(file):
    assert config.read(file).common.name == file.stem
