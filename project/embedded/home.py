"""The folder where a stack keeps its state; one supervisor at a time may use it."""

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from project.embedded.errors import StackError

PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600
# What is generated once and kept. The marker is in the environment of every process of this stack,
# so that nothing which outlived a crash is taken for somebody else's.
SECRETS = (
    "marker",
    "secret_key",
    "redis_password",
    "s3_access_key_id",
    "s3_secret_access_key",
    "volume_write_key",
    "volume_read_key",
    "filer_write_key",
    "filer_read_key",
    "speech_api_key",
    "health_token",
    "metrics_token",
)


class Home:
    """PARLEY_HOME: `run` and `figures` are thrown away at every start, everything else is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.logs = self.path / "logs"
        self.run = self.path / "run"
        self.figures = self.path / "metrics"
        self.connection_file = self.path / "connection.json"
        self.status_file = self.run / "status.json"
        self._lock: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, and keep every other supervisor out of it."""
        try:
            for folder in (self.path, self.logs, self.run):
                folder.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
                folder.chmod(PRIVATE_DIR)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        except OSError as error:
            raise StackError(f"Cannot write to {self.path}: {error.strerror}") from error
        try:
            self._claim(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _claim(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode() or "?"
            raise StackError(
                f"A stack is already running in {self.path} (process {holder.strip()}). "
                "Stop it, or choose another PARLEY_HOME."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def folder(self, name: str) -> Path:
        """A private folder of one part."""
        path = self.path / name
        path.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
        return path

    def scratch(self, name: str) -> Path:
        """An empty private folder for the temporary files of one part: what it held is removed."""
        path = self.run / "tmp" / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
        return path

    def socket(self, name: str) -> Path:
        """Where a part may put a socket of its own; the path of a socket may have 107 bytes at most."""
        inside = self.run / f"{name}.sock"
        if len(str(inside).encode()) <= 107:
            return inside
        raise StackError(f"PARLEY_HOME is too long for a socket in it: {self.path}")

    def write(self, path: Path, text: str) -> Path:
        """Put a private file in its place, whole or not at all."""
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)  # NamedTemporaryFile makes files that only their owner may read
        return path

    def read_json(self, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise StackError(f"{path} is damaged; repair it or remove it") from error
        return dict(content)

    def secrets(self) -> dict[str, str]:
        """The generated secrets, made at the first start; a version that needs more adds them."""
        path = self.path / "secrets.json"
        kept = self.read_json(path)
        missing = [name for name in SECRETS if name not in kept]
        for name in missing:
            kept[name] = secrets.token_urlsafe(36).replace("-", "x").replace("_", "y")
        if missing:
            self.write(path, json.dumps(kept, indent=2) + "\n")
        return kept
