import hashlib
import json
import pickle
import stat
import zipfile

import pytest

from generation.avatars import importer, packages
from generation.avatars.footage import footage_frames
from generation.avatars.models import Avatar
from project.errors import InvalidInput
from tests.support import pictures

pytestmark = pytest.mark.django_db(transaction=True)

FACTS = {
    "model_type": "wav2lip",
    "fps": 25,
    "sample_rate": 16000,
    "width": 320,
    "height": 400,
    "version": "1",
}


@pytest.fixture
def folder(tmp_path, workshop):
    """Build an avatar folder; `files` are relative paths and their bytes."""

    def build(name="singer", files=None, **manifest):
        where = tmp_path / name
        where.mkdir()
        told = FACTS | {"id": name} | manifest
        (where / "manifest.json").write_text(json.dumps({k: v for k, v in told.items() if v is not ...}))
        for path, data in (files or {"reference.png": pictures.plain()}).items():
            (where / path).parent.mkdir(parents=True, exist_ok=True)
            (where / path).write_bytes(data)
        return where

    return build


def refused(call, *args):
    with pytest.raises(InvalidInput) as caught:
        call(*args)
    return caught.value.code


def test_a_folder_with_a_picture_becomes_an_avatar_and_keeps_what_it_said(folder, objects) -> None:
    where = folder(name="amy", files=None, metadata={"description": "Warm", "client_renderer": {"type": "x"}})
    avatar = importer.import_folder(where)
    assert (avatar.name, avatar.slug, avatar.source_kind, avatar.description) == (
        "amy",
        "amy",
        "image",
        "Warm",
    )
    assert avatar.metadata["imported"]["manifest"]["metadata"]["client_renderer"] == {"type": "x"}
    assert objects.objects[avatar.source_key] == pictures.plain()


def test_importing_the_same_folder_again_makes_nothing_new(folder) -> None:
    where = folder()
    assert importer.import_folder(where).pk == importer.import_folder(where).pk
    assert Avatar.objects.count() == 1


def test_frames_at_30_a_second_keep_their_pace_at_25(folder, objects) -> None:
    files = {f"frames/frame_{n:05d}.jpg": pictures.plain(kind="JPEG") for n in range(30)}
    where = folder(files=files, fps=30, metadata={"reference_mode": "frames"})
    avatar = importer.import_folder(where)
    assert avatar.source_kind == "video"
    assert len(footage_frames(objects.objects[avatar.source_key])) == 25


def test_the_mouth_of_its_animation_becomes_a_hint(folder) -> None:
    animation = {"mouth_center": [0.5, 0.6], "mouth_rx": 0.1, "mouth_ry": 0.05}
    hint = importer.import_folder(folder(metadata={"animation": animation})).metadata["mouth_hint"]
    assert hint == pytest.approx({"left": 0.4, "top": 0.55, "right": 0.6, "bottom": 0.65})


@pytest.mark.parametrize(
    "animation", [{"mouth_center": [9, 9], "mouth_rx": 1, "mouth_ry": 1}, {"outer_lip": "x"}, {}]
)
def test_a_nonsense_animation_is_no_hint(animation) -> None:
    assert packages.mouth_hint({"animation": animation}) is None


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "a/../../secret.png", "..\\secret.png", "C:\\x.png", "x\x00.png"]
)
@pytest.mark.parametrize("key", ["source_image_path", "frame_dir", "source_video", "template_video"])
def test_paths_that_leave_the_folder_are_refused(folder, tmp_path, key, name) -> None:
    (tmp_path / "secret.png").write_bytes(pictures.plain())
    assert refused(importer.import_folder, folder(metadata={key: name})) == "path_outside"


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path) -> None:
    (tmp_path / "secret.png").write_bytes(pictures.plain())
    where = folder()
    (where / "reference.png").unlink()
    (where / "reference.png").symlink_to(tmp_path / "secret.png")
    assert refused(importer.import_folder, where) == "path_outside"


def test_a_picture_that_is_not_the_one_named_is_refused(folder) -> None:
    right = hashlib.sha256(pictures.plain()).hexdigest()
    named = {"source_image_path": "reference.png", "source_image_hash": right}
    assert importer.import_folder(folder(name="good", metadata=named))
    named["source_image_hash"] = "0" * 64
    assert refused(importer.import_folder, folder(name="bad", metadata=named)) == "hash_mismatch"


def test_frame_hashes_are_verified(folder) -> None:
    frame = pictures.plain(kind="JPEG")
    told = {"version": 1, "frames": {"frame_00000.jpg": {"source_frame_hash": "f" * 64}}}
    files = {"frames/frame_00000.jpg": frame, "frames/mouth_metadata.json": json.dumps(told).encode()}
    assert refused(importer.import_folder, folder(files=files)) == "hash_mismatch"


def test_pickles_are_never_opened(folder, tmp_path) -> None:
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    trap = pickle.dumps(Trap())
    files = {"reference.png": pictures.plain(), "face_cache.pkl": trap, "frames/coords.pkl": trap}
    assert importer.import_folder(folder(files=files)).source_kind == "image"
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("manifest", "code"),
    [({"fps": ...}, "bad_manifest"), ({"fps": "fast"}, "bad_manifest"), ({"fps": 9000}, "bad_manifest")],
)
def test_a_manifest_without_sense_is_refused(folder, manifest, code) -> None:
    assert refused(importer.import_folder, folder(**manifest)) == code


def test_one_bad_folder_stops_no_other(folder, tmp_path) -> None:
    folder(name="good")
    folder(name="bad", files={"notes.txt": b"nothing"})
    outcomes = dict(importer.import_avatars(tmp_path))
    assert isinstance(outcomes["good"], Avatar)
    assert outcomes["bad"].code == "no_source"


def zipped(tmp_path, members):
    path = tmp_path / "avatars.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, data in members:
            archive.writestr(info, data)
    return path


def test_a_zip_is_unpacked_and_imported(tmp_path, workshop) -> None:
    manifest = json.dumps(FACTS | {"id": "zipped"})
    path = zipped(tmp_path, [("zipped/manifest.json", manifest), ("zipped/reference.png", pictures.plain())])
    [(_, avatar)] = importer.import_avatars(path)
    assert avatar.slug == "zipped"


def link_member():
    info = zipfile.ZipInfo("a/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([("../evil.txt", b"x")], "path_outside"),
        ([("/evil.txt", b"x")], "path_outside"),
        ([(link_member(), b"/etc/passwd")], "not_a_file"),
        ([("bomb", bytes(40_000_000))], "archive_too_large"),
    ],
)
def test_a_hostile_zip_is_refused_and_leaves_nothing(tmp_path, members, code) -> None:
    path = zipped(tmp_path, members)
    target = tmp_path / "target"
    target.mkdir()
    assert refused(packages.unpack, path, target) == code
    assert [p.name for p in tmp_path.iterdir() if p.name == "evil.txt"] == []


def test_what_is_no_zip_is_refused(tmp_path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"nothing")
    assert refused(importer.import_avatars, path) == "not_an_archive"
