"""The pages about renderers name every model, backend and setting that there is, and no other."""

import re
from pathlib import Path

import pytest
import yaml

from workers.adapters.avatar.chosen import NUMBERS, variable_of
from workers.adapters.avatar.models import BUILT_IN, read_model

SHARED = ("chunk_frames", "live_slots", "max_batch", "memory_mb", "width", "height")
PAGES = Path(__file__).parents[2] / "docs/renderers"
TABLE = (PAGES / "README.md").read_text()
MODELS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(BUILT_IN.glob("*.yaml"))}
OPERATIONS = (Path(__file__).parents[2] / "docs/operations.md").read_text()


def _row(model: str) -> list[str]:
    found = [line for line in TABLE.splitlines() if line.startswith(f"| [`{model}`]")]
    assert len(found) == 1, f"{model} has no row"
    return [cell.strip() for cell in found[0].strip("|").split("|")]


def _settings(model: str) -> set[str]:
    told = MODELS[model]["backends"].values()
    return {
        variable_of(model, name)
        for backend in told
        for name in backend.get("settings", [])
        if f"`<ID>_{name.upper()}`" not in TABLE
    }


@pytest.mark.parametrize("model", MODELS)
def test_the_table_has_every_model_with_its_backends_and_addresses(model) -> None:
    _, backends, choice, address, *_ = _row(model)
    content = MODELS[model]
    named = re.findall(r"`(\w+)`", backends)
    assert set(named) == set(content["backends"])
    assert named[0] == content["backend"], "the first one is what is used where nothing is set"
    assert choice == (f"`{model.upper()}_BACKEND`" if len(named) > 1 else "")
    prefixes = {told.get("credentials") for told in content["backends"].values()} - {None}
    assert set(re.findall(r"`(\w+)`", address)) == {f"{prefix}_URL" for prefix in prefixes}
    for prefix in prefixes:
        assert f"`{prefix}_API_KEY`" in TABLE


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_page_that_the_table_leads_to(model) -> None:
    page = re.search(r"\]\((.*?)\)", _row(model)[0])
    assert page
    assert (PAGES / page[1]).is_file()


@pytest.mark.parametrize("model", MODELS)
def test_every_setting_of_a_model_is_told_on_a_page(model) -> None:
    told = "".join(page.read_text() for page in PAGES.glob("*.md"))
    assert {name for name in _settings(model) if f"`{name}`" not in told} == set()


def test_the_pages_name_no_setting_that_nobody_reads() -> None:
    known = {variable_of(model, "backend") for model in MODELS}
    known |= {name for model in MODELS for name in _settings(model)}
    known |= {variable_of(model, name) for model in MODELS for name in SHARED}
    known |= {
        f"{backend['credentials']}_{part}"
        for content in MODELS.values()
        for backend in content["backends"].values()
        if backend.get("credentials")
        for part in ("URL", "API_KEY")
    }
    starts = tuple(f"{model.upper()}_" for model in MODELS)
    for page in PAGES.glob("*.md"):
        named = set(re.findall(r"`([A-Z][A-Z0-9_]+)(?:=[^`]*)?`", page.read_text()))
        assert {name for name in named if name.startswith(starts)} <= known, page.name


def test_the_example_of_a_file_is_one(tmp_path) -> None:
    example = TABLE.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "acme.yaml").write_text(example)
    made = read_model(tmp_path / "acme.yaml", {"ACME_BLENDING": "basic", "ACME_MAX_BATCH": "8"})
    assert (made.options["blending"], made.max_batch, made.backends) == ("basic", 8, ("local", "omnirt"))
    assert read_model(tmp_path / "acme.yaml", {"ACME_BACKEND": "omnirt"}).missing == "Set OMNIRT_URL."


def test_every_number_of_a_profile_is_told_with_its_limits() -> None:
    fields = TABLE.partition("| Field |")[2]
    for name, limits in NUMBERS.items():
        row = next(line for line in fields.splitlines() if re.match(rf"\| `profile.*\b{name}`", line))
        for limit in limits:
            assert re.search(rf"(?<![\d,]){limit:,}(?![\d,])|(?<!\d){limit}(?!\d)", row), (name, limit)


def test_every_reason_to_refuse_a_file_is_told() -> None:
    source = Path(__file__).parents[2] / "workers/adapters/avatar"
    text = (source / "weights.py").read_text() + (source / "tensors.py").read_text()
    codes = set(re.findall(r"fault\(\s*\"(\w+)\"", text))
    assert codes
    assert {code for code in codes if f"`{code}`" not in TABLE} == set()


def test_the_settings_page_says_how_models_are_set() -> None:
    for words in ("`<ID>_BACKEND`", "`<PREFIX>_URL`", "`<PREFIX>_API_KEY`", "`<ID>_<OPTION>`"):
        assert words in OPERATIONS
