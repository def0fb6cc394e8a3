"""The folder where the processes of one machine keep their figures together.

Each process writes files of its own and holds a lock on one more for as long as it lives, which the
system lets go whatever way it ends. Whoever looks next adds what the dead counted to one file of the
past: counters never fall, and the folder has as many files as there are processes.
"""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.mmap_dict import mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

from project.metrics.pages import UNFINISHED, Pages

PRIVATE = 0o700
PATIENCE_SECONDS = 3.0
PAUSE_SECONDS = 0.01
_ALIVE = "alive_"
_PAST = "past-"
_JOURNAL = "past.json"


class Folder:
    """What this process shares with the others. Raises OSError where the folder cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = ""
        self._alive: int | None = None

    def enter(self) -> None:
        """Take a place of one's own: at start, and again in the child of a fork.

        Where that fails the name is one's own all the same: nobody writes into the files of another.
        """
        self.identity = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        with self._locked():
            self._tidy()
            if self._alive is not None:
                os.close(self._alive)  # the parent's; its lock stays with it
            mine = self.path / f"{_ALIVE}{self.identity}"
            self._alive = os.open(mine, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._alive, fcntl.LOCK_EX)

    def pages(self, kind: str) -> Pages:
        """Make this process's file of one kind: `counter`, `histogram`, `gauge_livesum`..."""
        return Pages(self.path / f"{kind}_{self.identity}.db")

    def collect(self) -> Iterable[Metric]:
        """The figures of all processes, the dead ones' counts among them."""
        with self._locked():
            self._tidy()
            return _merged(self._databases())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _patiently(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _databases(self) -> list[Path]:
        return sorted(self.path.glob("*.db"))

    def _tidy(self) -> None:
        """Add up what the dead left behind. Cut off anywhere, nothing is lost or counted twice."""
        past = self._clean()
        dead = {_owner(path) for path in self._databases()} - self._living() - {past["name"]}
        if not dead:
            return
        counted = [path for path in self._databases() if _owner(path) in {*dead, past["name"]}]
        for path in [path for path in counted if path.name.startswith("gauge")]:
            path.unlink()
        number = int(past["name"].removeprefix(_PAST) or 0) + 1
        name = f"{_PAST}{number}"
        for kind in ("counter", "histogram"):
            if not self._write_past(kind, name, [path for path in counted if path.name.startswith(kind)]):
                self._clean()  # of what there was room for; what they counted stays where it is
                return
        journal = self.path / f"{_JOURNAL}.new"
        # From here on only the new file counts; what is in it may be removed at leisure.
        journal.write_text(json.dumps({"name": name, "spent": sorted(dead)}))
        journal.replace(self.path / _JOURNAL)
        self._clean()

    def _clean(self) -> dict[str, str]:
        """Remove what is in the file of the past already, and half-made files of it."""
        try:
            told = json.loads((self.path / _JOURNAL).read_text())
        except (FileNotFoundError, ValueError):
            told = {"name": "", "spent": []}
        for path in self._databases():
            owner = _owner(path)
            if owner in told["spent"] or (owner.startswith(_PAST) and owner != told["name"]):
                path.unlink()
        living = self._living() if list(self.path.glob(f"*{UNFINISHED}")) else set()
        for path in self.path.glob(f"*_*{UNFINISHED}"):
            if _owner(path) not in living:
                path.unlink()
        for owner in told["spent"]:
            (self.path / f"{_ALIVE}{owner}").unlink(missing_ok=True)
        return {"name": str(told["name"])}

    def _living(self) -> set[str]:
        """Who holds a lock; the files of the others go."""
        living = set()
        for path in self.path.glob(f"{_ALIVE}*"):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                living.add(path.name.removeprefix(_ALIVE))
            else:
                path.unlink()
            finally:
                os.close(descriptor)
        return living

    def _write_past(self, kind: str, name: str, paths: list[Path]) -> bool:
        """Whether the disk had room for it."""
        pages = Pages(self.path / f"{kind}_{name}.db")
        for metric in _merged(paths, accumulate=False):
            for sample in metric.samples:
                labels = sorted(sample.labels)
                key = mmap_key(
                    metric.name, sample.name, labels, [sample.labels[one] for one in labels],
                    metric.documentation,
                )  # fmt: skip
                pages.write(key, sample.value)
        pages.close()
        return pages.kept


def _merged(paths: list[Path], *, accumulate: bool = True) -> Iterable[Metric]:
    files = [str(path) for path in paths]
    merged: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate)  # type: ignore[no-untyped-call]
    return merged


def _patiently(descriptor: int) -> None:
    """Lock, but not for ever: whoever holds it may have been stopped. Raises TimeoutError."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise TimeoutError("Another process holds the folder of figures.") from None
            time.sleep(PAUSE_SECONDS)
        else:
            return


def _owner(path: Path) -> str:
    return path.stem.rpartition("_")[2]
