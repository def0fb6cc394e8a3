"""Opens files of strangers with FFmpeg, and only as what they are.

Playlists, concatenations and image sequences make FFmpeg open other files and addresses; none of
those formats is on the list, and nested opening is off.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.error import FFmpegError

from workers.rendering.errors import MediaError

FORMATS = (
    "wav,w64,mp3,aac,flac,ogg,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,"
    "aiff,caf,amr,amrnb,amrwb,au,asf,ac3,avi,mpegts"
)
OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}

Source = Path | bytes | BinaryIO


def open_media(source: Source, *, max_bytes: int) -> InputContainer:
    """Open sound or video. Raises `MediaError`: too_large, or unreadable_media."""
    file = _binary(source)
    size = file.seek(0, io.SEEK_END)
    if size > max_bytes:
        raise MediaError("too_large", f"The file has more than {max_bytes // 1024 // 1024} MB.")
    file.seek(0)
    if _is_cut(file.read(12), size):
        raise MediaError("unreadable_media", "The file is cut short.")
    file.seek(0)
    try:
        return av.open(file, mode="r", options=OPTIONS, metadata_errors="replace")
    except (FFmpegError, ValueError, UnicodeError) as error:
        raise MediaError("unreadable_media", "The file is not a sound or video that can be read.") from error


def _binary(source: Source) -> BinaryIO:
    if isinstance(source, Path):
        return io.BytesIO() if source.stat().st_size == 0 else source.open("rb")
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _is_cut(head: bytes, size: int) -> bool:
    """Tell whether a RIFF file lost its end, which FFmpeg plays without a word.

    Sizes of 0 and all ones stand for "not known yet", in files written to a pipe.
    """
    if len(head) < 12 or head[:4] != b"RIFF":
        return False
    (length,) = struct.unpack_from("<I", head, 4)
    return length not in {0, 0xFFFFFFFF, 0x7FFFFFFF} and size + 4096 < length + 8
