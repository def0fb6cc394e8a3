"""Files of models are read strictly, and settings choose among what they offer."""

import importlib.util
from copy import deepcopy
from pathlib import Path
from pkgutil import resolve_name

import pytest
import yaml

from project import env
from tests.support.models import config
from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.chosen import variable_of
from workers.adapters.avatar.models import BUILT_IN, read_model, read_models
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.registry import PREPARERS, RENDERERS, preparer, renderer

PLAIN = """
id: acme
name: Acme
summary: Draws acmes.
licence: MIT
backend: local
profile:
  fragment_frames: 60
  memory_mb: 512
backends:
  local:
    adapter: mock
    preparer: mock
    max_batch: 4
    needs: [torch, os.path]
    options: {blending: soft, pads: 3, scale: 1.5, sharp: false, inner: {deep: [1, 2]}}
    settings: [blending, pads, scale, sharp, max_batch, memory_mb]
    profile: {lookback_samples: 3200}
    weights:
      - {path: acme/net.pth, what: the net, licence: MIT, source: somewhere, bytes: 7}
  server:
    adapter: audio2video
    preparer: reference
    credentials: ACME
    options: {path: /v1/acme, key: "", prompt: ""}
    settings: [chunk_frames, width, height, key, prompt]
    requires: [key]
    profile: {stateless: false, chunk_frames: 28, first_fragment_frames: 28, width: 416, height: 704}
"""
SERVER = {"ACME_BACKEND": "server", "ACME_URL": "http://10.0.0.9:8000", "ACME_KEY": "k"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "acme.yaml"
    path.write_text(PLAIN)
    return path


def changed(file: Path, *places: tuple[str, object]) -> Path:
    """Put something else at places such as `backends.local.max_batch`; None takes a field away."""
    content = yaml.safe_load(PLAIN)
    for place, value in places:
        *path, last = place.split(".")
        at = content
        for step in path:
            at = at[int(step)] if isinstance(at, list) else at[step]
        if value is None:
            del at[last]
        else:
            at[last] = value
    file.write_text(yaml.safe_dump(content))
    return file


# --- What is read ---------------------------------------------------------------------------


def test_a_file_says_what_its_default_backend_is(file) -> None:
    made = read_model(file, {})
    assert (made.id, made.name, made.backend, made.adapter, made.preparer) == (
        *("acme", "Acme", "local", "mock"),
        "mock",
    )
    assert (made.backends, made.needs, made.max_batch) == (("local", "server"), ("torch", "os.path"), 4)
    assert (made.memory_mb, made.profile.memory_mb, made.profile.fragment_frames) == (512, 512, 60)
    assert (made.profile.lookback_samples, made.profile.stateless, made.profile.chunk_frames) == (
        3200,
        True,
        1,
    )
    assert (made.profile.id, made.profile.backend) == ("acme", "local")
    assert (made.profile.queue, made.profile.live_queue) == ("batch.acme", "live.acme")
    assert [(w.path, w.bytes, w.required) for w in made.weights] == [("acme/net.pth", 7, True)]
    assert (made.missing, made.endpoint.base_url) == ("", "")


def test_what_is_read_cannot_be_changed(file) -> None:
    made = read_model(file, {})
    with pytest.raises(AttributeError):
        made.backend = "server"
    with pytest.raises(TypeError):
        made.options["blending"] = "hard"
    with pytest.raises(TypeError):
        made.options["inner"]["deep"] = 3
    assert made.options["inner"]["deep"] == (1, 2)


def test_a_setting_chooses_the_backend_and_says_where_it_is(file) -> None:
    made = read_model(file, SERVER | {"ACME_API_KEY": "secret", "ACME_URL": "wss://acme.example/base/"})
    assert (made.backend, made.adapter, made.profile.backend) == ("server", "audio2video", "server")
    assert (made.endpoint.base_url, made.endpoint.api_key) == ("wss://acme.example/base", "secret")
    assert "secret" not in repr(made)
    assert made.missing == ""


def test_what_is_not_set_is_told(file) -> None:
    assert read_model(file, {"ACME_BACKEND": "server"}).missing == "Set ACME_URL and ACME_KEY."
    assert read_model(file, SERVER | {"ACME_KEY": ""}).missing == "Set ACME_KEY."
    assert read_model(file, SERVER).missing == ""


def test_settings_change_options_to_values_of_their_kind(file) -> None:
    given = {"ACME_BLENDING": "hard", "ACME_PADS": "-4", "ACME_SCALE": "2", "ACME_SHARP": "1"}
    made = read_model(file, given | {"ACME_MAX_BATCH": "16", "ACME_MEMORY_MB": "900"})
    assert {name: made.options[name] for name in ("blending", "pads", "scale", "sharp")} == {
        "blending": "hard",
        "pads": -4,
        "scale": 2.0,
        "sharp": True,
    }
    assert (made.max_batch, made.memory_mb, made.profile.memory_mb) == (16, 900, 900)


def test_settings_that_the_file_does_not_offer_change_nothing(file) -> None:
    made = read_model(file, {"ACME_CHUNK_FRAMES": "7", "ACME_INNER": "x", "ACME_KEY": "k"})
    assert made.profile.chunk_frames == 1
    assert "key" not in made.options


def test_fragments_hold_whole_chunks(file) -> None:
    assert read_model(file, SERVER).profile.fragment_frames == 84
    odd = read_model(file, SERVER | {"ACME_CHUNK_FRAMES": "22"}).profile
    assert (odd.chunk_frames, odd.first_fragment_frames, odd.fragment_frames) == (22, 44, 66)


def test_settings_change_the_size_of_the_picture(file) -> None:
    wide = read_model(file, SERVER | {"ACME_WIDTH": "512", "ACME_HEIGHT": "512"}).profile
    assert (wide.width, wide.height) == (512, 512)


def test_models_of_several_folders_are_read_in_order_of_their_names(tmp_path, file) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "abc.yaml").write_text(PLAIN.replace("id: acme", "id: abc"))
    assert list(read_models([tmp_path, other], {})) == ["abc", "acme"]


def test_a_second_file_of_one_id_is_refused(tmp_path, file) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "acme.yaml").write_text(PLAIN)
    with pytest.raises(ValueError, match=r"other/acme\.yaml: id: there is a model acme already"):
        read_models([tmp_path, other], {})


# --- What is refused ------------------------------------------------------------------------

WRONG = [
    ("colour", "red", "colour"),
    ("backends.local.colour", "red", "backends.local.colour"),
    ("profile.colour", 1, "profile.colour"),
    ("profile.queue", "speech", "profile.queue"),
    ("backends.local.weights.0.colour", "red", "backends.local.weights[0].colour"),
    ("id", "Acme", "id"),
    ("id", "other", "id"),
    ("id", 7, "id"),
    ("name", " ", "name"),
    ("summary", None, "summary"),
    ("licence", ["MIT"], "licence"),
    ("backend", "nowhere", "backend"),
    ("backends", {}, "backend"),
    ("backends", [1], "backends"),
    ("backends.local", [1], "backends.local"),
    ("backends.local.adapter", None, "backends.local.adapter"),
    ("backends.local.adapter", "os:system", "backends.local.adapter"),
    ("backends.local.preparer", "../x", "backends.local.preparer"),
    ("backends.server.credentials", "acme", "backends.server.credentials"),
    ("backends.local.needs", "torch", "backends.local.needs"),
    ("backends.local.needs", ["torch; import os"], "backends.local.needs"),
    ("backends.local.max_batch", 0, "backends.local.max_batch"),
    ("backends.local.max_batch", True, "backends.local.max_batch"),
    ("backends.local.max_batch", "4", "backends.local.max_batch"),
    ("backends.local.settings", ["colour"], "backends.local.settings"),
    ("backends.local.settings", ["inner"], "backends.local.settings"),
    ("backends.local.settings", ["pads", "pads"], "backends.local.settings"),
    ("backends.local.settings", "pads", "backends.local.settings"),
    ("backends.local.settings", ["url"], "backends.local.settings"),
    ("backends.server.settings", ["backend"], "backends.server.settings"),
    ("backends.server.requires", ["prompt", "path"], "backends.server.requires"),
    ("backends.server.requires", ["width"], "backends.server.requires"),
    ("backends.local.options", ["pads"], "backends.local.options"),
    ("backends.local.options", {"Pads": 1}, "backends.local.options"),
    ("profile.fps", 30, "profile.fps"),
    ("profile.sample_rate", 48_000, "profile.sample_rate"),
    ("profile.memory_mb", 0, "profile.memory_mb"),
    ("profile.memory_mb", 1e3, "profile.memory_mb"),
    ("profile.live_slots", -1, "profile.live_slots"),
    ("profile.live_slots", 10_000, "profile.live_slots"),
    ("profile.fragment_frames", 751, "profile.fragment_frames"),
    ("profile.stateless", "no", "profile.stateless"),
    ("profile.chunk_frames", 2, "chunk_frames"),
    ("backends.local.profile.lookback_samples", -1, "backends.local.profile.lookback_samples"),
    ("backends.server.profile.width", 417, "backends.server.profile.width"),
    ("backends.server.profile.width", 8, "backends.server.profile.width"),
    ("backends.server.profile.height", None, "backends.server.profile"),
    ("backends.local.weights", {"path": "x"}, "backends.local.weights"),
    ("backends.local.weights.0.path", "/etc/passwd", "backends.local.weights[0].path"),
    ("backends.local.weights.0.path", "a/../../b", "backends.local.weights[0].path"),
    ("backends.local.weights.0.path", "a\\b", "backends.local.weights[0].path"),
    ("backends.local.weights.0.path", "a//b", "backends.local.weights[0].path"),
    ("backends.local.weights.0.bytes", -1, "backends.local.weights[0].bytes"),
    ("backends.local.weights.0.bytes", "7", "backends.local.weights[0].bytes"),
    ("backends.local.weights.0.sha256", "ABC", "backends.local.weights[0].sha256"),
    ("backends.local.weights.0.required", "yes", "backends.local.weights[0].required"),
    ("backends.local.weights.0.layout", "a:b:c", "backends.local.weights[0].layout"),
    ("backends.local.weights.0.source", None, "backends.local.weights[0].source"),
]


@pytest.mark.parametrize(("place", "value", "told"), WRONG, ids=[f"{p}={v}" for p, v, _ in WRONG])
def test_a_wrong_field_is_refused_by_file_and_name(file, place, value, told) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - what it says is looked at
        read_model(changed(file, (place, value)), {})
    assert str(refused.value).startswith(f"{file}: ")
    assert told in str(refused.value)


def test_a_backend_that_nobody_chose_is_checked_as_well(file) -> None:
    with pytest.raises(ValueError, match=r"backends\.server\.profile"):
        read_model(changed(file, ("backends.server.profile.height", None)), {"ACME_BACKEND": "local"})


@pytest.mark.parametrize(
    "text", ["", "- a\n- b\n", "id: [", "id: acme\nid: acme\n", "\x00", "!!python/object:os.x {}"]
)
def test_what_is_no_file_of_a_model_is_refused(file, text) -> None:
    file.write_text(text)
    with pytest.raises(ValueError, match=r"acme\.yaml: "):
        read_model(file, {})


def test_a_field_that_stands_there_twice_is_refused(file) -> None:
    file.write_text(PLAIN.replace("    max_batch: 4\n", "    max_batch: 4\n    max_batch: 8\n"))
    with pytest.raises(ValueError, match="max_batch: it stands there twice"):
        read_model(file, {})


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"ACME_BACKEND": "cloud"}, "ACME_BACKEND"),
        ({"ACME_PADS": "three"}, "ACME_PADS"),
        ({"ACME_SCALE": "nan"}, "ACME_SCALE"),
        ({"ACME_SCALE": "wide"}, "ACME_SCALE"),
        ({"ACME_SHARP": "perhaps"}, "ACME_SHARP"),
        ({"ACME_MAX_BATCH": "0"}, "ACME_MAX_BATCH"),
        ({"ACME_MAX_BATCH": "1025"}, "ACME_MAX_BATCH"),
        ({"ACME_MEMORY_MB": "much"}, "ACME_MEMORY_MB"),
        (SERVER | {"ACME_CHUNK_FRAMES": "0"}, "ACME_CHUNK_FRAMES"),
        (SERVER | {"ACME_WIDTH": "417"}, "ACME_WIDTH"),
        (SERVER | {"ACME_URL": "acme.example:80"}, "ACME_URL"),
        (SERVER | {"ACME_URL": "file:///etc/passwd"}, "ACME_URL"),
        (SERVER | {"ACME_URL": "http://"}, "ACME_URL"),
        (SERVER | {"ACME_URL": "http://acme:99999"}, "ACME_URL"),
        (SERVER | {"ACME_URL": "http://acme/?key=1"}, "ACME_URL"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(file, settings, named) -> None:
    with pytest.raises(ValueError, match=f"^{named} "):
        read_model(file, settings)


def test_an_address_with_a_password_is_refused_and_not_told(file) -> None:
    with pytest.raises(ValueError, match=r"^ACME_URL ") as refused:
        read_model(file, SERVER | {"ACME_URL": "http://me:hunter2@acme"})
    assert "hunter2" not in str(refused.value)


# --- The files of this repository -----------------------------------------------------------

FILES = sorted(BUILT_IN.glob("*.yaml"))
BACKENDS = [(path.stem, name) for path in FILES for name in yaml.safe_load(path.read_text())["backends"]]
EXPECTED = {
    "fasterliveportrait": {"omnirt"},
    "flashhead": {"http", "direct_ws", "local"},
    "flashtalk": {"direct_ws", "omnirt"},
    "mock": {"local"},
    "musetalk": {"local", "omnirt", "direct_ws"},
    "quicktalk": {"omnirt", "local"},
    "viseme": {"local"},
    "wav2lip": {"local", "omnirt"},
}


def test_every_model_and_backend_is_there() -> None:
    models = read_models([BUILT_IN], {})
    assert {model: set(made.backends) for model, made in models.items()} == EXPECTED


@pytest.mark.parametrize(("model", "backend"), BACKENDS)
def test_every_backend_names_an_adapter_and_a_preparer_that_exist(model, backend) -> None:
    made = config(model, {variable_of(model, "backend"): backend})
    assert made.adapter in RENDERERS
    assert made.preparer in PREPARERS
    assert made.backend == backend


@pytest.mark.parametrize("name", [*RENDERERS.values(), *PREPARERS.values()])
def test_every_registered_name_is_a_function_of_this_product(name) -> None:
    assert importlib.util.find_spec(name.partition(":")[0])
    assert callable(resolve_name(name))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_environment_is_asked_for_every_setting_that_a_file_offers(path, monkeypatch) -> None:
    content = yaml.safe_load(path.read_text())
    wanted = {variable_of(path.stem, "backend")}
    for told in content["backends"].values():
        wanted |= {variable_of(path.stem, name) for name in told.get("settings", [])}
        prefix = told.get("credentials")
        wanted |= {f"{prefix}_URL", f"{prefix}_API_KEY"} if prefix else set()
    for name in wanted:
        monkeypatch.setenv(name, f"of-{name}")
    asked = env.env_models([BUILT_IN])
    assert {name: asked[name] for name in wanted} == {name: f"of-{name}" for name in wanted}


def test_what_the_environment_does_not_say_is_left_out(monkeypatch) -> None:
    for name in list(env.env_models([BUILT_IN])):
        monkeypatch.delenv(name)
    assert env.env_models([BUILT_IN]) == {}


@pytest.mark.parametrize("model", ["mock", "viseme"])
def test_the_models_of_a_plain_processor_are_made_from_their_files(model) -> None:
    made = config(model)
    runtime = Runtime(Alone())
    assert renderer(made, runtime).profile is made.profile
    assert callable(preparer(made, runtime).prepare)
    assert (made.missing, made.needs, made.weights) == ("", (), ())


# --- Whatever stands there ------------------------------------------------------------------

ODD = (
    None,
    "",
    "x" * 5000,
    "a: b",
    -1,
    10**30,
    1.5,
    float("nan"),
    True,
    [],
    {},
    [[]],
    [None],
    {1: 2},
    {"a": None},
)


def _places(content: object, path: tuple = ()) -> list[tuple]:
    inner = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    return [path, *(place for name, value in inner for place in _places(value, (*path, name)))]


@pytest.mark.parametrize("backend", ["local", "server"])
def test_no_content_of_a_file_is_worse_than_a_value_error(file, monkeypatch, backend) -> None:
    content: list[object] = []
    monkeypatch.setattr("workers.adapters.avatar.fields.load", lambda path: content[0])
    settings = SERVER | {"ACME_BACKEND": backend, "ACME_PADS": "4", "ACME_CHUNK_FRAMES": "24"}
    read = refused = 0
    plain = yaml.safe_load(PLAIN)
    for place in _places(plain):
        for odd in ODD:
            content[:] = [_with(deepcopy(plain), place, odd)]
            try:
                read_model(file, settings)
            except ValueError:
                refused += 1
            else:
                read += 1
    assert refused > read > 0


def _with(content: object, place: tuple, value: object) -> object:
    if not place:
        return value
    at = content
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    return content
