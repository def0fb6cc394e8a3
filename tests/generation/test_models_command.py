"""`manage.py models`: what it lists, and what it says of files that are not as they should be."""

import hashlib
import io
from pathlib import Path

import pytest
import torch
from django.core.management import CommandError, call_command

FILE = """
id: acme
name: Acme
summary: Draws acmes.
licence: BSD
backend: local
profile: {{}}
backends:
  local:
    adapter: mock
    preparer: mock
    needs: [a_package_that_nobody_has]
    weights:
      - path: acme/net.pth
        what: the net
        licence: CC-BY
        source: https://acme.example/net
        bytes: {size}
        sha256: {sha256}
      - {{path: acme/extra.json, what: more, licence: MIT, source: anywhere, required: false}}
  server: {{adapter: audio2video, preparer: reference, credentials: ACME}}
"""


@pytest.fixture
def home(tmp_path, settings):
    """A folder with one more model, and its file as it was published."""
    data = _saved({"weight": torch.ones(3)})
    digest = hashlib.sha256(data).hexdigest()
    (tmp_path / "acme.yaml").write_text(FILE.format(size=len(data), sha256=digest))
    weights = tmp_path / "weights"
    (weights / "acme").mkdir(parents=True)
    (weights / "acme/net.pth").write_bytes(data)
    settings.MODELS_DIR, settings.MODEL_WEIGHTS_DIR = str(tmp_path), str(weights)
    settings.MODEL_SETTINGS = {}
    return tmp_path


def _saved(content: object) -> bytes:
    torch.set_num_threads(1)
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def said(*arguments: str) -> str:
    out = io.StringIO()
    call_command("models", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def refused(*arguments: str) -> tuple[str, str]:
    out = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command("models", *arguments, stdout=out, no_color=True)
    return out.getvalue(), str(error.value)


def test_every_model_is_listed_with_what_it_lacks(home, settings) -> None:
    settings.MODEL_SETTINGS = {"FLASHTALK_BACKEND": "omnirt"}
    listed = said()
    for model in ("acme", "flashhead", "musetalk", "quicktalk", "viseme", "wav2lip"):
        assert f"\n{model}  " in listed
    assert settings.MODEL_WEIGHTS_DIR in listed
    flashtalk = listed.partition("\nflashtalk  ")[2].partition("\n\n")[0]
    assert "omnirt (or direct_ws: FLASHTALK_BACKEND)" in flashtalk
    assert "Set OMNIRT_URL." in flashtalk


def test_a_model_is_listed_with_its_files_and_their_licences(home) -> None:
    listed = said("list", "acme")
    assert "mock  " not in listed
    for words in (
        *("BSD", "Packages are missing here: a_package_that_nobody_has.", "ACME_BACKEND"),
        *("acme/net.pth: the net", "https://acme.example/net", "CC-BY", "SHA-256", " bytes"),
        *("acme/extra.json: more; not here (optional)",),
    ):
        assert words in listed


def test_files_as_they_were_published_are_verified(home) -> None:
    told = said("verify", "acme")
    assert "ok       acme/net.pth: size and SHA-256 are as published" in told
    assert "missing  acme/extra.json" in told
    assert "No file differs" in told


def test_a_changed_file_is_an_error_whoever_asked(home) -> None:
    net = home / "weights/acme/net.pth"
    data = bytearray(net.read_bytes())
    data[-1] ^= 1
    net.write_bytes(data)
    for arguments in (("verify",), ("verify", "acme")):
        told, error = refused(*arguments)
        assert "changed  acme/net.pth: its SHA-256 is" in told
        assert "acme/net.pth" in error


def test_a_missing_file_is_an_error_for_a_model_that_was_asked_for(home) -> None:
    (home / "weights/acme/net.pth").unlink()
    told, error = refused("verify", "acme")
    assert "missing  acme/net.pth" in told
    assert error.endswith(": acme")
    assert "No file differs" in said("verify")


def test_a_file_that_no_worker_would_read_is_an_error(home) -> None:
    data = _saved({"weight": Path("a pickled object")})
    (home / "weights/acme/net.pth").write_bytes(data)
    text = FILE.format(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    (home / "acme.yaml").write_text(text)
    _forget()
    told, error = refused("verify", "acme")
    assert "refused  acme/net.pth" in told
    assert "acme/net.pth" in error


def _forget() -> None:
    from workers import profiles

    profiles._read.cache_clear()


def test_a_model_without_files_is_verified_at_once(home) -> None:
    assert "viseme on local needs no files." in said("verify", "viseme")


def test_a_name_that_nobody_knows_is_an_error(home) -> None:
    assert "There is no model nobody. There are: acme, " in refused("list", "nobody")[1]
