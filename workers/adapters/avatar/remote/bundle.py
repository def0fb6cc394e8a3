"""What preparation hands to models that draw elsewhere: a picture, an idle loop, facts for the server."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workers.adapters.errors import AdapterError

VERSION = 1
MAX_PICTURE_BYTES = 32 * 1024 * 1024
MAX_IDLE_BYTES = 256 * 1024 * 1024
MAX_FACTS_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Reference:
    """A prepared portrait.

    `picture` is a PNG file of `width` x `height`; `idle` the bundle of the idle loop's own movement, empty
    where the portrait keeps still; `facts` go to the server when a session begins.
    """

    picture: bytes
    width: int
    height: int
    idle: bytes = b""
    facts: Mapping[str, Any] = field(default_factory=dict)


def pack(reference: Reference) -> bytes:
    out = io.BytesIO()
    about = {
        "version": VERSION,
        "width": reference.width,
        "height": reference.height,
        "facts": dict(reference.facts),
    }
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:  # both are compressed already
        for name, data in (
            ("about.json", json.dumps(about).encode()),
            ("picture", reference.picture),
            ("idle", reference.idle),
        ):
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def unpack(data: bytes, provider: str) -> Reference:
    """Read what `pack` wrote. Raises `AdapterError` (`bundle_invalid`)."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            about = json.loads(_read(archive, "about.json", MAX_FACTS_BYTES))
            _check_version(about["version"])
            return Reference(
                picture=_read(archive, "picture", MAX_PICTURE_BYTES),
                width=_side(about["width"]),
                height=_side(about["height"]),
                idle=_read(archive, "idle", MAX_IDLE_BYTES),
                facts=dict(about["facts"]),
            )
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError) as error:
        raise AdapterError(
            "The avatar's prepared data cannot be read: prepare it again.",
            provider=provider,
            retryable=False,
            code="bundle_invalid",
        ) from error


def _check_version(version: Any) -> None:
    if version != VERSION:
        raise ValueError(f"version {version}, not {VERSION}")


def _read(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    if archive.getinfo(name).file_size > most:
        raise ValueError(f"{name} is too large")
    return archive.read(name)


def _side(value: Any) -> int:
    if not isinstance(value, int) or not 16 <= value <= 4096 or value % 2:
        raise ValueError(f"{value!r} is no side of a picture")
    return value
