"""Models as the service sees them: files and settings together."""

import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from workers import profiles


def test_a_model_is_installed_once_what_it_needs_is_set(settings) -> None:
    settings.MODEL_SETTINGS = {}
    assert profiles.is_installed("viseme")
    assert not profiles.is_installed("flashtalk")
    settings.MODEL_SETTINGS = {"FLASHTALK_URL": "ws://127.0.0.1:8765"}
    assert profiles.is_installed("flashtalk")
    assert profiles.config("flashtalk").endpoint.base_url == "ws://127.0.0.1:8765"
    assert not profiles.is_installed("nobody")


def test_a_model_whose_adapter_nobody_registered_is_not_installed(settings, tmp_path) -> None:
    text = "id: acme\nname: A\nsummary: a\nlicence: MIT\nbackend: local\n"
    (tmp_path / "acme.yaml").write_text(text + "backends: {local: {adapter: acme, preparer: mock}}\n")
    settings.MODELS_DIR = str(tmp_path)
    assert "acme" in profiles.model_ids()
    assert not profiles.is_installed("acme")


def test_an_unknown_model_has_no_profile() -> None:
    with pytest.raises(KeyError):
        profiles.load_profile("nobody")


def test_nonsense_is_told_by_its_name(settings) -> None:
    settings.MODEL_SETTINGS = {"WAV2LIP_BACKEND": "cloud"}
    with pytest.raises(ImproperlyConfigured, match="WAV2LIP_BACKEND is 'cloud'; use local or omnirt"):
        profiles.configs()


def test_every_model_has_queues_of_its_own() -> None:
    found = profiles.profiles()
    assert len({profile.queue for profile in found} | {p.live_queue for p in found}) == 2 * len(found)


def test_the_service_does_not_start_with_nonsense(monkeypatch, tmp_path) -> None:
    (tmp_path / "broken.yaml").write_text("id: broken\ncolour: red\n")
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    code = "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup()"
    started = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert started.returncode == 1
    assert "broken.yaml: colour" in started.stderr.splitlines()[-1]
