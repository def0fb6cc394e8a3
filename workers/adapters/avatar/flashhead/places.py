"""Where files lie that we and a FlashHead service share, and where its films may be fetched.

A service names its film as a path of its own machine, or as an address. Neither is believed: a path
counts only inside the folders that are configured, after every `..` and link in it was followed,
and an address only below the one that is configured.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from workers.adapters.avatar.film import MAX_BYTES
from workers.adapters.avatar.remote.faults import fault

MARK = ".parley"  # in folders that we made: nobody else's are cleared away
STALE_SECONDS = 24 * 3600
LONGEST_NAME = 2048  # bytes of a path or an address
_LINKLESS = os.O_NOFOLLOW | os.O_CLOEXEC
# Folders on the way may be closed to readers; where there is no O_PATH, that cannot be helped.
_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | _LINKLESS


@dataclass(frozen=True, slots=True)
class Address:
    """A film behind an address that may be fetched."""

    url: str


@dataclass(frozen=True, slots=True)
class Places:
    """Folders as this side and as the service names them; empty where there are none.

    `base_url` is the one address below which films are fetched.
    """

    shared_local: str = ""
    shared_remote: str = ""
    output_local: str = ""
    output_remote: str = ""
    base_url: str = ""

    def find(self, reference: str) -> Path | Address | None:
        """Where the film of this name is; None where it is nowhere that we may look."""
        try:
            named = 0 < len(reference.encode()) <= LONGEST_NAME and reference.isprintable()
        except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold
            return None
        if not named:
            return None
        if reference.startswith(("http://", "https://")):
            return Address(reference) if self._may_fetch(reference) else None
        if any(sign in reference for sign in "\\:"):
            return None
        path = PurePosixPath(reference)
        shared = self.shared_remote or self.shared_local, self.shared_local
        for remote, local in ((self.output_remote, self.output_local), shared):
            if remote and local and path.is_relative_to(remote):
                return _inside(Path(local), path.relative_to(remote))
        return self._loose(path)

    def _loose(self, path: PurePosixPath) -> Path | Address | None:
        """A path under none of the folders: a name in the folder of films, or below the address."""
        if self.output_local:
            names = (path.name,) if path.is_absolute() else (path, path.name)
            for name in names:
                found = _inside(Path(self.output_local), PurePosixPath(name))
                if found and is_file(found):
                    return found
        if self.base_url and not path.is_absolute() and ".." not in path.parts:
            return Address(f"{self.base_url.rstrip('/')}/{quote(str(path))}")
        return None

    def _may_fetch(self, url: str) -> bool:
        try:
            base, asked = urlsplit(self.base_url), urlsplit(url)
            same = (base.scheme, base.hostname, base.port) == (asked.scheme, asked.hostname, asked.port)
        except ValueError:
            return False
        path = unquote(asked.path)
        below = path.startswith(unquote(base.path).rstrip("/") + "/")
        plain = "@" not in asked.netloc and "\\" not in path and ".." not in path.split("/")
        return bool(self.base_url) and same and below and plain


def _inside(root: Path, name: PurePosixPath) -> Path | None:
    root = root.resolve()
    found = (root / name).resolve()
    return found if found.is_relative_to(root) and found != root else None


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def read(path: Path, provider: str) -> bytes:
    """A film that `Places.find` found. Raises `AdapterError` for what is no file, or is too large."""
    try:
        opened = opened_linkless(path)
        with os.fdopen(opened, "rb") as file:
            told = os.fstat(opened)
            if not stat.S_ISREG(told.st_mode):
                raise fault("model_error", "The model's film is no file.", provider)
            if told.st_size > MAX_BYTES:
                raise fault("frames_malformed", "The model's film is too large.", provider)
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise fault("model_error", "The model's film cannot be read.", provider) from error


def opened_linkless(path: Path) -> int:
    """Open a file along a path without links, as it was looked at: none may have come since (`OSError`)."""
    folder = os.open(path.anchor, _STEP)
    try:
        for part in path.parts[1:-1]:
            inner = os.open(part, _STEP, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(path.name, os.O_RDONLY | os.O_NONBLOCK | _LINKLESS, dir_fd=folder)
    finally:
        os.close(folder)


class Exchange:
    """A folder of one stream, in which a service finds its picture and its sound."""

    def __init__(self, places: Places) -> None:
        name = f"session_{secrets.token_hex(6)}"
        self._local = Path(places.shared_local) / name
        self._remote = PurePosixPath(places.shared_remote or places.shared_local) / name
        _clear_stale(Path(places.shared_local))
        self._local.mkdir(parents=True)
        (self._local / MARK).touch()

    def put(self, name: str, data: bytes) -> str:
        """Write a file, whole or not at all; returns what the service calls it."""
        part = self._local / f".{name}.part"
        part.write_bytes(data)
        part.replace(self._local / name)
        return str(self._remote / name)

    def drop(self, name: str) -> None:
        with suppress(OSError):
            (self._local / name).unlink()

    def close(self) -> None:
        shutil.rmtree(self._local, ignore_errors=True)


def _clear_stale(root: Path) -> None:
    """Take away what workers left that did not end by themselves."""
    with suppress(OSError):
        for mark in root.glob(f"session_*/{MARK}"):
            if mark.stat().st_mtime < time.time() - STALE_SECONDS:
                shutil.rmtree(mark.parent, ignore_errors=True)
