"""Files of networks: what is missing, what differs, and that reading one runs nothing of it."""

import hashlib
import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from workers.adapters.avatar import weights
from workers.adapters.avatar.models import WeightFile
from workers.adapters.errors import AdapterError

STATE = {"conv.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3), "conv.bias": torch.ones(2)}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def told(path: str, **facts) -> WeightFile:
    given = {"bytes": None, "sha256": "", "licence": "MIT", "source": "nowhere", "what": "a network"} | facts
    return WeightFile(path=path, **given)


def same(found: dict, expected: dict = STATE) -> bool:
    return set(found) == set(expected) and all(torch.equal(found[name], expected[name]) for name in expected)


class Armed:
    """Makes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


# --- What is read ---------------------------------------------------------------------------


def test_safetensors_are_read(tmp_path) -> None:
    save_file(STATE, tmp_path / "network.safetensors")
    assert same(weights.load_state(tmp_path / "network.safetensors"))


def test_a_file_is_known_by_its_content_and_not_by_its_name(tmp_path) -> None:
    save_file(STATE, tmp_path / "network.pth")
    torch.save(STATE, tmp_path / "network.safetensors")
    assert same(weights.load_state(tmp_path / "network.pth"))
    assert same(weights.load_state(tmp_path / "network.safetensors"))


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saved_of_tensors_alone_is_read(tmp_path, zipped) -> None:
    torch.save(OrderedDict(STATE), tmp_path / "network.pth", _use_new_zipfile_serialization=zipped)
    assert same(weights.load_state(tmp_path / "network.pth"))


@pytest.mark.parametrize(
    "wrapped",
    [
        {"state_dict": STATE, "optimizer": {"lr": 0.1}, "global_step": 7},
        {"dims": {"n_mels": 80}, "model_state_dict": STATE},
        {"model_state_dict": {"state_dict": STATE}},
        {**STATE, "global_step": 7, "note": "a text"},
    ],
)
def test_tensors_are_found_below_their_wrapper_and_nothing_else_comes_along(tmp_path, wrapped) -> None:
    torch.save(wrapped, tmp_path / "network.pth")
    assert same(weights.load_state(tmp_path / "network.pth"))


def test_parameters_come_as_plain_tensors(tmp_path) -> None:
    torch.save({"weight": torch.nn.Parameter(torch.ones(3))}, tmp_path / "network.pth")
    assert not weights.load_state(tmp_path / "network.pth")["weight"].requires_grad


# --- What is refused ------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["whole", "beside", "inside"])
def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(tmp_path, place, zipped) -> None:
    trace = tmp_path / "it-ran"
    armed = Armed(trace)
    content = {"whole": armed, "beside": {**STATE, "x": armed}, "inside": {"state_dict": {"w": armed}}}[place]
    torch.save(content, tmp_path / "network.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(AdapterError) as refused:
        weights.load_state(tmp_path / "network.pth")
    assert refused.value.code == "weights_unsafe"
    assert not refused.value.retryable
    assert "weights_only" not in str(refused.value), "the message must not teach how to run it"
    assert not trace.exists()
    # The same file does run its code where it is unpickled: the trap was armed.
    torch.load(tmp_path / "network.pth", weights_only=False)
    assert trace.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_plain_pickle_is_refused_and_runs_nothing(tmp_path) -> None:
    trace = tmp_path / "it-ran"
    file = tmp_path / "coords.pkl"
    file.write_bytes(pickle.dumps(Armed(trace)))
    with pytest.raises(AdapterError) as refused:
        weights.load_state(file)
    assert refused.value.code == "weights_unsafe"
    assert not trace.exists()
    pickle.loads(file.read_bytes())
    assert trace.exists()


def test_objects_of_other_packages_are_refused(tmp_path) -> None:
    torch.save({**STATE, "loss": np.float64(0.5)}, tmp_path / "network.pth")
    with pytest.raises(AdapterError) as refused:
        weights.load_state(tmp_path / "network.pth")
    assert refused.value.code == "weights_unsafe"


def test_a_whole_module_is_refused(tmp_path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "network.pth")
    with pytest.raises(AdapterError) as refused:
        weights.load_state(tmp_path / "network.pth")
    assert refused.value.code == "weights_unsafe"


def script(path: Path, *, folder: str = "network/") -> None:
    """An archive laid out as TorchScript's are, around tensors that could be read."""
    saved = io.BytesIO()
    torch.save(STATE, saved)
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as archive:
        for name in source.namelist():
            archive.writestr(folder + name.partition("/")[2], source.read(name))
        archive.writestr(f"{folder}code/__torch__.py", "def forward(self): ...")
        archive.writestr(f"{folder}constants.pkl", b"\x80\x02)\x81.")


def test_torchscript_is_refused_though_its_tensors_could_be_read(tmp_path) -> None:
    script(tmp_path / "network.pth")
    with pytest.raises(AdapterError, match="TorchScript") as refused:
        weights.load_state(tmp_path / "network.pth")
    assert refused.value.code == "weights_unsafe"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_real_torchscript_archive_is_refused(tmp_path) -> None:
    try:
        torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(tmp_path / "network.pt"))
    except RuntimeError:  # an interpreter for which torch makes none any more
        script(tmp_path / "network.pt")
    with pytest.raises(AdapterError, match="TorchScript") as refused:
        weights.load_state(tmp_path / "network.pt")
    assert refused.value.code == "weights_unsafe"


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1}, {"state_dict": {"a": "b"}}, torch.ones(2)])
def test_a_file_without_tensors_by_name_is_no_weights(tmp_path, content) -> None:
    torch.save(content, tmp_path / "network.pth")
    with pytest.raises(AdapterError) as refused:
        weights.load_state(tmp_path / "network.pth")
    assert refused.value.code == "weights_unknown"


@pytest.mark.parametrize("name", ["network.safetensors", "network.pth"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_file_that_was_cut_off_is_told_and_not_half_read(tmp_path, name, share) -> None:
    whole = tmp_path / f"whole-{name}"
    (save_file if "safetensors" in name else torch.save)(STATE, whole)
    data = whole.read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(AdapterError) as refused:
        weights.load_state(tmp_path / name)
    assert refused.value.code in ("weights_unknown", "weights_unsafe")
    assert name in str(refused.value)


def test_random_bytes_and_pages_of_a_web_site_are_told(tmp_path) -> None:
    for place, data in enumerate(
        (b"<!DOCTYPE html><html>", bytes(range(256)) * 8, b"\0" * 64, b"PK\x03\x04rest")
    ):
        file = tmp_path / f"{place}.pth"
        file.write_bytes(data)
        with pytest.raises(AdapterError) as refused:
            weights.load_state(file)
        assert refused.value.code in ("weights_unknown", "weights_unsafe")


def test_a_file_that_is_not_there_is_missing(tmp_path) -> None:
    with pytest.raises(AdapterError) as refused:
        weights.load_state(tmp_path / "network.pth")
    assert refused.value.code == "weights_missing"
    with pytest.raises(AdapterError, match=r"a/b\.pth") as refused:
        weights.find(tmp_path, told("a/b.pth"))
    assert refused.value.code == "weights_missing"


def test_a_file_that_the_disk_does_not_give_is_told(tmp_path, monkeypatch) -> None:
    torch.save(STATE, tmp_path / "network.pth")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AdapterError, match="Permission denied") as refused:
        weights.load_state(tmp_path / "network.pth")
    assert refused.value.code == "weights_unknown"


def test_a_folder_is_no_file(tmp_path) -> None:
    (tmp_path / "a.pth").mkdir()
    with pytest.raises(AdapterError):
        weights.find(tmp_path, told("a.pth"))
    assert weights.verify(tmp_path, told("a.pth")).state == "missing"


# --- What is published ----------------------------------------------------------------------


def test_size_and_digest_are_compared_with_what_was_published(tmp_path) -> None:
    data = b"weights" * 300_000  # more than one block
    (tmp_path / "a.bin").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()

    def state(**facts) -> tuple[str, str]:
        verdict = weights.verify(tmp_path, told("a.bin", **facts))
        return verdict.state, verdict.detail

    assert state(bytes=len(data), sha256=digest)[0] == "ok"
    assert state(sha256=digest) == ("ok", "its SHA-256 is as published")
    assert state(bytes=len(data))[0] == "ok"
    assert state()[0] == "present"
    wrong_size, detail = state(bytes=len(data) + 1, sha256=digest)
    assert (wrong_size, str(len(data)) in detail) == ("changed", True)
    wrong_digest, detail = state(bytes=len(data), sha256="0" * 64)
    assert (wrong_digest, digest in detail) == ("changed", True)
    assert weights.verify(tmp_path, told("b.bin")).state == "missing"


def test_progress_is_told_while_a_large_file_is_read(tmp_path) -> None:
    data = bytes(weights.BLOCK_BYTES * 2 + 5)
    (tmp_path / "a.bin").write_bytes(data)
    heard: list[int] = []
    weights.verify(tmp_path, told("a.bin", sha256="0" * 64), progress=heard.append)
    assert heard == [weights.BLOCK_BYTES, weights.BLOCK_BYTES * 2, len(data)]


def test_a_file_that_a_worker_would_refuse_is_refused_when_it_is_verified(tmp_path) -> None:
    torch.save(Armed(tmp_path / "it-ran"), tmp_path / "a.pth")
    torch.save(STATE, tmp_path / "b.pth")
    (tmp_path / "c.json").write_text("{}")
    states = [
        weights.readable(tmp_path, weights.verify(tmp_path, told(name))).state
        for name in ("a.pth", "b.pth", "c.json", "d.pth")
    ]
    assert states == ["refused", "present", "present", "missing"]
    assert not (tmp_path / "it-ran").exists()


# --- What is lacking ------------------------------------------------------------------------


def have(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def test_required_files_are_missed_and_optional_ones_are_not(tmp_path) -> None:
    files = (told("a.pth"), told("x/b.pth"), told("c.pth", required=False))
    assert "a.pth" in weights.lacking(tmp_path, files)
    have(tmp_path, "a.pth")
    sentence = weights.lacking(tmp_path, files)
    assert "x/b.pth" in sentence
    assert "a.pth" not in sentence
    assert "c.pth" not in sentence
    have(tmp_path, "x/b.pth")
    assert weights.lacking(tmp_path, files) == ""


def test_of_sets_that_stand_for_each_other_one_complete_one_is_enough(tmp_path) -> None:
    files = (
        told("v1/net.bin", layout="v1"),
        told("v1/net.json", layout="v1"),
        told("v15/net.pth", layout="v15"),
        told("v15/net.json", layout="v15"),
    )
    assert "another set" in weights.lacking(tmp_path, files)
    have(tmp_path, "v1/net.bin", "v15/net.json")
    assert weights.lacking(tmp_path, files), "halves of two sets make none"
    have(tmp_path, "v1/net.json")
    assert weights.lacking(tmp_path, files) == ""


def test_each_choice_needs_a_set_of_its_own(tmp_path) -> None:
    files = (
        told("net.pth", layout="net:a"),
        told("net.bin", layout="net:b"),
        told("vae.safetensors", layout="vae:a"),
        told("vae.bin", layout="vae:b"),
        told("always.json"),
    )
    have(tmp_path, "net.pth", "always.json")
    sentence = weights.lacking(tmp_path, files)
    assert "vae.safetensors (or another set)" in sentence
    assert "net" not in sentence.replace(str(tmp_path), "")
    have(tmp_path, "vae.bin")
    assert weights.lacking(tmp_path, files) == ""
