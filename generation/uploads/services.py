"""Files that callers hand in: checked by decoding them, kept under a name of ours."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path, PurePath
from typing import IO, Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone

from generation.uploads.models import Upload, UploadKind
from project.accounts.models import User
from project.errors import InvalidInput
from project.ids import new_id
from storage import keys
from storage.s3 import store
from workers.rendering.audio import AudioInfo, decode_audio
from workers.rendering.errors import MediaError
from workers.rendering.picture import open_picture

PCM_TYPE = "audio/l16; rate=48000; channels=1"
POINTER = "/file"
_IMAGE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_TOO_LARGE = frozenset({"too_large", "image_too_large"})
_UNREADABLE = frozenset({"unreadable_media", "unreadable_image", "unsupported_image", "no_audio"})


def upload_create(owner: User, file: UploadedFile[Any]) -> Upload:
    """Check a file and keep it. Raises `InvalidInput`; its name and declared type count for nothing."""
    with tempfile.TemporaryDirectory(prefix="parley-upload-") as folder:
        path = Path(folder) / "original"
        try:
            if is_image(file):
                return _image(owner, file)
            _copy(file, path)
            return _audio(owner, file, path, Path(folder) / "audio.pcm")
        except MediaError as error:
            raise refused(error) from error


def is_image(file: IO[bytes] | UploadedFile[Any]) -> bool:
    """Say whether the content claims to be a picture."""
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    return head.startswith(_IMAGE_STARTS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def refused(error: MediaError) -> InvalidInput:
    """What a caller is told about a file that cannot be used."""
    status = 413 if error.code in _TOO_LARGE else 415 if error.code in _UNREADABLE else 400
    return InvalidInput(str(error), code=error.code, pointer=POINTER, status=status)


def _image(owner: User, file: UploadedFile[Any]) -> Upload:
    if (file.size or 0) > settings.MAX_IMAGE_BYTES:
        raise MediaError("image_too_large", f"The picture has more than {settings.MAX_IMAGE_BYTES} bytes.")
    data = file.read()
    height, width = open_picture(data, max_bytes=settings.MAX_IMAGE_BYTES).shape[:2]
    upload = _new(owner, UploadKind.IMAGE, file, width=width, height=height)
    store().put_bytes(upload.original_key, data, "application/octet-stream")
    upload.save(force_insert=True)
    return upload


def _audio(owner: User, file: UploadedFile[Any], path: Path, pcm: Path) -> Upload:
    info, samples = _decode(path, pcm)
    upload = _new(
        owner, UploadKind.AUDIO, file, duration_ms=samples * 1000 // 48_000, sample_rate=info.sample_rate
    )
    upload.pcm_key = keys.upload_audio(upload.pk)
    store().put_file(upload.original_key, path, "application/octet-stream")
    store().put_file(upload.pcm_key, pcm, PCM_TYPE)
    upload.save(force_insert=True)
    return upload


def _decode(path: Path, pcm: Path) -> tuple[AudioInfo, int]:
    info, pieces = decode_audio(
        path, max_seconds=settings.MAX_CLIP_SECONDS, max_bytes=settings.MAX_AUDIO_BYTES
    )
    with pcm.open("wb") as out:
        written = sum(out.write(piece) for piece in pieces)
    return info, written // 2


def _copy(file: UploadedFile[Any], path: Path) -> None:
    if (file.size or 0) > settings.MAX_AUDIO_BYTES:
        raise MediaError("too_large", f"The file has more than {settings.MAX_AUDIO_BYTES} bytes.")
    with path.open("wb") as out:
        for chunk in file.chunks():
            out.write(chunk)


def _new(owner: User, kind: UploadKind, file: UploadedFile[Any], **facts: int) -> Upload:
    upload_id = new_id("upl")
    return Upload(
        id=upload_id,
        owner=owner,
        kind=kind,
        original_key=keys.upload_original(upload_id, _extension(file.name or "")),
        bytes=file.size or 0,
        expires_at=timezone.now() + timedelta(days=settings.UPLOAD_RETENTION_DAYS),
        **facts,
    )


def _extension(name: str) -> str:
    """The end of the caller's name for the file, if it is harmless."""
    extension = PurePath(name).suffix.removeprefix(".").lower()
    return extension if extension.isascii() and extension.isalnum() and len(extension) <= 5 else "bin"
