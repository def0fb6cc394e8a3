"""One log file per part, cut into a few pieces of bounded size."""

import json
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

MAX_BYTES = 5 * 1024 * 1024
KEEP = 3
TAIL_LINES = 15
TAIL_BYTES = 16_384


def headline(name: str, form: str) -> bytes:
    """What a part's log says where the part is started (again), in the form of the lines behind it."""
    if form != "json":
        return f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} starting\n".encode()
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    told = {"ts": now, "level": "INFO", "logger": "supervisor", "message": "starting", "process": name}
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


class Logs:
    """The parts write into their files themselves, so that no line waits for the supervisor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def open(self, name: str) -> IO[bytes]:
        """Open for appending: a writer goes on at the new end after the file was cut."""
        return self.path(name).open("ab", buffering=0)

    def tail(self, name: str) -> str:
        """The last lines, for whoever has to find out why it failed."""
        with suppress(FileNotFoundError), self.path(name).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
            return b"\n".join(file.read().splitlines()[-TAIL_LINES:]).decode(errors="replace")
        return ""

    def rotate(self) -> None:
        """Copy every full file aside and cut it; the writer keeps its descriptor."""
        for path in self.folder.glob("*.log"):
            if path.stat().st_size > MAX_BYTES:
                self._shift(path)
                shutil.copyfile(path, f"{path}.1")
                with path.open("r+b") as file:
                    file.truncate()

    def _shift(self, path: Path) -> None:
        for number in range(KEEP - 1, 0, -1):
            older = Path(f"{path}.{number}")
            if older.exists():
                older.replace(f"{path}.{number + 1}")
