"""Avatar folders of OpenTalking (`manifest.json` and files), read as a stranger's data.

Paths in a manifest are whatever its author typed: each is resolved and must stay inside the
folder. Hashes are verified where they are given, frames and pixels are capped, pickles (face
caches) are never opened, and metadata we do not know is kept as it is.
"""

import hashlib
import json
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from project.errors import InvalidInput

MANIFEST_BYTES = 4 * 1024 * 1024
MOST_MEMBERS = 5_000
MOST_UNPACKED_BYTES = 1024 * 1024 * 1024
MOST_RATIO = 200  # of unpacked to packed size, for archives that are worth the question
MOST_FRAMES = 600
REQUIRED = ("id", "model_type", "fps", "sample_rate", "width", "height", "version")
IMAGES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, slots=True)
class Package:
    """What an avatar folder says, and the one source it holds for us.

    `video`, `frames` or `image` is set, the first that the folder has; `mouth_hint` is a
    normalised box {left, top, right, bottom}.
    """

    id: str
    name: str
    model_type: str
    fps: float
    image: Path | None = None
    video: Path | None = None
    frames: list[Path] = field(default_factory=list)
    mouth_hint: dict[str, float] | None = None
    manifest: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@contextmanager
def opened(path: Path) -> Iterator[list[Path]]:
    """Yield the avatar folders inside a folder, a folder of folders or a zip of either."""
    if path.is_dir():
        yield _avatar_folders(path)
        return
    with tempfile.TemporaryDirectory(prefix="parley-import-") as scratch:
        unpack(path, Path(scratch))
        yield _avatar_folders(Path(scratch))


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip: regular files only, none outside `target`, with a cap on what comes out."""
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [info for info in packed.infolist() if not info.is_dir()]
            _check_members(members)
            for info in members:
                destination = contained(target, info.filename)
                destination.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(info) as source, destination.open("wb") as out:
                    _copy(source, out, info.file_size)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as exc:
        raise _refuse("not_an_archive", "The archive is damaged, encrypted or not a zip.") from exc


def contained(folder: Path, name: str) -> Path:
    """Resolve a path that a stranger named, inside `folder`. Raises InvalidInput."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if not name or "\x00" in name or pure.is_absolute() or ".." in pure.parts or ":" in pure.parts[0]:
        raise _refuse("path_outside", f"The path {name!r} leaves the avatar's folder.")
    resolved = (folder / pure).resolve()
    if not resolved.is_relative_to(folder.resolve()):
        raise _refuse("path_outside", f"The path {name!r} leaves the avatar's folder.")
    return resolved


def read(folder: Path) -> Package:
    """Read one avatar folder. Raises InvalidInput."""
    manifest = _manifest(folder)
    told = manifest.get("metadata")
    metadata: dict[str, Any] = told if isinstance(told, dict) else {}
    facts: dict[str, Any] = {
        "id": str(manifest["id"])[:80],
        "name": str(manifest.get("name") or manifest["id"])[:120],
        "model_type": str(manifest["model_type"])[:40],
        "fps": _number(manifest["fps"], 1, 120, "fps"),
        "manifest": manifest,
        "mouth_hint": mouth_hint(metadata),
    }
    if video := _video(folder, metadata):
        return Package(**facts, video=video)
    if frames := _frames(folder, metadata, facts["model_type"]):
        return Package(**facts, frames=frames)
    image = _image(folder, metadata)
    if image is None:
        raise _refuse("no_source", "The folder holds no video, no frames and no picture.")
    return Package(**facts, image=image)


def mouth_hint(metadata: dict[str, Any]) -> dict[str, float] | None:
    """The box around the mouth that a package's `animation` describes, if it makes sense."""
    animation = metadata.get("animation")
    if not isinstance(animation, dict):
        return None
    try:
        if outline := animation.get("outer_lip"):
            xs, ys = [float(p[0]) for p in outline], [float(p[1]) for p in outline]
            left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
        else:
            (x, y), rx, ry = (
                animation["mouth_center"],
                float(animation["mouth_rx"]),
                float(animation["mouth_ry"]),
            )
            left, right, top, bottom = x - rx, x + rx, y - ry, y + ry
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        return None
    return {"left": left, "top": top, "right": right, "bottom": bottom}


def model_crop(metadata: dict[str, Any]) -> dict[str, float] | None:
    """The part of its pictures that a package's own model looked at, where it names who found it."""
    crop = metadata.get("model_crop")
    if not metadata.get("model_crop_source") or not isinstance(crop, list) or len(crop) != 4:
        return None
    try:
        left, top, right, bottom = (float(side) for side in crop)
    except (TypeError, ValueError):
        return None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        return None
    return {"left": left, "top": top, "right": right, "bottom": bottom}


def _avatar_folders(root: Path) -> list[Path]:
    if (root / "manifest.json").is_file():
        return [root]
    found = sorted(path.parent for path in root.glob("*/manifest.json"))
    found = found or sorted(path.parent for path in root.glob("*/*/manifest.json"))
    if not found:
        raise _refuse("no_manifest", "There is no manifest.json.")
    return found


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    unpacked, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
    if (
        len(members) > MOST_MEMBERS
        or unpacked > MOST_UNPACKED_BYTES
        or unpacked > max(packed, 4096) * MOST_RATIO
    ):
        raise _refuse("archive_too_large", "The archive holds too many or too large files.")
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise _refuse("not_a_file", f"{member.filename!r} is a link or a device.")


def _copy(source: Any, out: Any, announced: int) -> None:
    """Copy as much as the directory of the archive announced, and no more."""
    left = announced
    while block := source.read(1024 * 1024):
        left -= len(block)
        if left < 0:
            raise _refuse("archive_too_large", "A file of the archive is larger than announced.")
        out.write(block)


def _manifest(folder: Path) -> dict[str, Any]:
    path = contained(folder, "manifest.json")
    if not path.is_file() or path.stat().st_size > MANIFEST_BYTES:
        raise _refuse("no_manifest", "There is no manifest.json of a sensible size.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as exc:
        raise _refuse("bad_manifest", "manifest.json is not JSON.") from exc
    missing = [name for name in REQUIRED if not isinstance(manifest, dict) or manifest.get(name) is None]
    if missing:
        raise _refuse("bad_manifest", f"manifest.json lacks {missing[0]}.")
    return dict(manifest)


def _video(folder: Path, metadata: dict[str, Any]) -> Path | None:
    quicktalk = metadata.get("quicktalk")
    inner = quicktalk.get("template_video") if isinstance(quicktalk, dict) else None
    for name in (metadata.get("template_video"), inner, metadata.get("source_video")):
        if isinstance(name, str) and name:
            path = contained(folder, name)
            if path.is_file():
                return path
    return None


def _frames(folder: Path, metadata: dict[str, Any], model_type: str) -> list[Path]:
    default = "full_frames" if model_type == "musetalk" else "frames"
    named = metadata.get("frame_dir")
    directory = contained(folder, named if isinstance(named, str) and named else default)
    if not directory.is_dir():
        return []
    found = sorted(p for p in directory.iterdir() if p.suffix.lower() in IMAGES and p.is_file())
    frames = [contained(folder, str(p.relative_to(folder))) for p in found]
    if len(frames) > MOST_FRAMES:
        raise _refuse("too_many_frames", f"There are more than {MOST_FRAMES} frames.")
    _check_frame_hashes(folder, metadata, directory, frames)
    return frames


def _check_frame_hashes(folder: Path, metadata: dict[str, Any], directory: Path, frames: list[Path]) -> None:
    named = metadata.get("frame_metadata")
    path = contained(folder, named) if isinstance(named, str) and named else directory / "mouth_metadata.json"
    if not path.is_file() or path.is_symlink() or path.stat().st_size > 16 * MANIFEST_BYTES:
        return
    try:
        told = json.loads(path.read_text(encoding="utf-8-sig"))["frames"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return  # it is a hint for their models; without it the frames are still frames
    for frame in frames:
        about = told.get(frame.name) if isinstance(told, dict) else None
        if isinstance(about, dict):
            _verify(frame, about.get("source_frame_hash"))


def _image(folder: Path, metadata: dict[str, Any]) -> Path | None:
    candidates = [metadata.get("source_image_path"), metadata.get("source_image")]
    for name in candidates:
        if isinstance(name, str) and name:
            path = contained(folder, name)
            if path.is_file():
                _verify(path, metadata.get("source_image_hash"))
                return path
    for name in ("reference.png", "reference.jpg", "reference.jpeg", "preview.png"):
        path = contained(folder, name)
        if path.is_file():
            return path
    return None


def _verify(path: Path, expected: Any) -> None:
    if not (isinstance(expected, str) and len(expected) == 64):
        return
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected.lower():
        raise _refuse("hash_mismatch", f"{path.name} is not the file that the manifest names.")


def _number(value: Any, low: float, high: float, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as exc:
        raise _refuse("bad_manifest", f"{name} is not a number.") from exc
    if not low <= number <= high:
        raise _refuse("bad_manifest", f"{name} must lie between {low} and {high}.")
    return number


def _refuse(code: str, message: str) -> InvalidInput:
    return InvalidInput(message, code=code, status=422)
