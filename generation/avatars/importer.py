"""Avatars from OpenTalking folders into the catalogue."""

import hashlib
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from generation.avatars import packages, services, sources
from generation.avatars.footage import FPS, MOST_FRAMES, resampled
from generation.avatars.models import Avatar
from generation.avatars.packages import Package
from generation.avatars.services import AvatarFacts
from generation.avatars.sources import SourceFile
from project.accounts.models import User
from project.errors import InvalidInput

SOURCE_CRF = "12"  # all but lossless: the preparation draws on it


def import_avatars(path: Path, owner: User | None = None) -> list[tuple[str, Avatar | InvalidInput]]:
    """Import every avatar folder at `path` (a folder or a zip); one that is refused stops no other.

    Idempotent: an avatar that came from the same content is found again, not made twice.
    """
    with packages.opened(path) as folders:
        return [(folder.name, _import_one(folder, owner)) for folder in folders]


def _import_one(folder: Path, owner: User | None) -> Avatar | InvalidInput:
    try:
        return import_folder(folder, owner)
    except InvalidInput as error:
        return error


def import_folder(folder: Path, owner: User | None = None) -> Avatar:
    """Import one avatar folder. Raises InvalidInput."""
    package = packages.read(folder)
    source = _source(package)
    fingerprint = hashlib.sha256(source.data).hexdigest()
    known = Avatar.objects.filter(
        owner=owner,
        archived_at=None,
        metadata__imported__sha256=fingerprint,
        metadata__imported__id=package.id,
    ).first()
    if known:
        return known
    return services.avatar_store(owner, _facts(package, fingerprint), source)


def _facts(package: Package, fingerprint: str) -> AvatarFacts:
    theirs = package.manifest.get("metadata")
    description = theirs.get("description", "") if isinstance(theirs, dict) else ""
    metadata: dict[str, Any] = {
        "imported": {
            "from": "opentalking",
            "id": package.id,
            "sha256": fingerprint,
            "manifest": package.manifest,
        }
    }
    if package.mouth_hint:
        metadata["mouth_hint"] = package.mouth_hint
    return AvatarFacts(
        name=services.checked_name(package.name),
        slug=package.id,
        description=str(description)[:2000],
        metadata=metadata,
    )


def _source(package: Package) -> SourceFile:
    if package.video:
        return sources.video_source(_bounded(package.video, "video"))
    if package.frames:
        return sources.video_source(_film(package))
    if package.image is None:
        raise InvalidInput("The folder holds no picture.", code="no_source", status=422)
    return sources.image_source(_bounded(package.image, "image"))


def _bounded(path: Path, kind: str) -> bytes:
    limit = settings.MAX_VIDEO_BYTES if kind == "video" else settings.MAX_IMAGE_BYTES
    if path.stat().st_size > limit:
        raise InvalidInput(f"{path.name} is too large.", code=f"{kind}_too_large", status=413)
    return path.read_bytes()


def _film(package: Package) -> bytes:
    """Make a video of loose frames, by their times: a folder at 30 fps keeps its pace at 25."""
    timed = ((number / package.fps, path) for number, path in enumerate(package.frames))
    picked = [path for _, path in zip(range(MOST_FRAMES), resampled(timed, FPS), strict=False)]
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options={"crf": SOURCE_CRF})
        stream.pix_fmt = "yuv420p"
        for picture in _pictures(picked):
            if not stream.width or stream.width == 2:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return out.getvalue()


def _pictures(paths: list[Path]) -> Iterator[NDArray[np.uint8]]:
    """Decode frames to BGR of the first one's even size."""
    size: tuple[int, int] | None = None
    for path in paths:
        picture = sources.image_source(_bounded(path, "image")).first[:, :, :3]
        height, width = picture.shape[0] & ~1, picture.shape[1] & ~1
        size = size or (height, width)
        if (height, width) != size:
            raise InvalidInput("The frames differ in size.", code="frames_differ", status=422)
        yield np.ascontiguousarray(picture[:height, :width])
