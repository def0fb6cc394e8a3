"""An operator's own renderer, found in a folder of its own."""

import sys
from pathlib import Path

import pytest

from tests.support.models import config, renderer
from workers.adapters.errors import AdapterError

GOOD = """
from acme_neighbour import NAME

class Acme:
    def __init__(self, config, runtime):
        self.made_of = (config.id, runtime.host.device, NAME)
    def load(self, bundle): ...
    def open_stream(self, avatar, *, start_frame=0, background=None): ...
    def extract_features(self, stream, window): ...
    def infer(self, stream, features): ...
    def compose_frame(self, stream, pose): ...
    def reset(self, stream): ...
    def close_stream(self, stream): ...

class Half:
    load = open_stream = extract_features = infer = compose_frame = lambda self: None
    def __init__(self, config, runtime): ...

def fails(config, runtime):
    raise ZeroDivisionError("no room")

number = 7
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "acme_plugin.py").write_text(GOOD)
    (plugins / "acme_neighbour.py").write_text("NAME = 'neighbour'\n")
    (plugins / "acme_torn.py").write_text("class Acme(\n")
    (plugins / "acme_broken.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


def settings(folder: Path, entry: str) -> dict[str, str]:
    return {"QUICKTALK_BACKEND": "local", "MODELS_DIR": str(folder), "QUICKTALK_ENTRY": entry}


def test_a_plug_in_is_made_as_every_renderer_is(folder) -> None:
    given = settings(folder, "acme_plugin:Acme")
    made = renderer("quicktalk", given)
    assert made.made_of == ("quicktalk", "cpu", "neighbour")
    assert made.profile == config("quicktalk", given).profile


def test_what_has_to_be_set_for_a_plug_in_is_told() -> None:
    made = config("quicktalk", {"QUICKTALK_BACKEND": "local"})
    assert made.missing == "Set MODELS_DIR and QUICKTALK_ENTRY."


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("acme_plugin", "no module:attribute"),
        ("acme_absent:Acme", "cannot be imported"),
        ("acme_broken:Acme", "ModuleNotFoundError"),
        ("acme_plugin:Nobody", "no Nobody"),
        ("acme_plugin:number", "no number that can be called"),
        ("acme_plugin:fails", "fails with"),
        ("acme_torn:Acme", "SyntaxError"),
        ("acme_plugin:Half", "no reset, close_stream"),
        ("os:getcwd", "another place"),
        ("sys:exit", "another place"),
    ],
)
def test_a_plug_in_that_cannot_be_used_says_why(folder, entry, why) -> None:
    with pytest.raises(AdapterError) as refused:
        renderer("quicktalk", settings(folder, entry))
    assert why in str(refused.value)
    assert str(folder) not in str(refused.value)
    assert (refused.value.code, refused.value.retryable) == ("package_missing", False)


def test_what_a_plug_in_said_is_for_the_log_alone(folder, caplog) -> None:
    with pytest.raises(AdapterError) as refused:
        renderer("quicktalk", settings(folder, "acme_broken:Acme"))
    assert "a_package_that_nobody_has" not in str(refused.value)
    assert "a_package_that_nobody_has" in caplog.text


def test_a_plug_in_replaces_no_module_of_the_product(folder, monkeypatch) -> None:
    (folder / "plugins" / "json.py").write_text("def loads(text): raise SystemExit\n")
    renderer("quicktalk", settings(folder, "acme_plugin:Acme"))
    monkeypatch.delitem(sys.modules, "json")
    import json

    assert json.loads("[1]") == [1]
