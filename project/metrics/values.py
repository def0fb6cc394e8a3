"""Where the numbers behind an instrument are: in this process, or in the folder that all share."""

import logging
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client import values
from prometheus_client.mmap_dict import mmap_key

from project.metrics.folder import Folder
from project.metrics.pages import Pages

_log = logging.getLogger(__name__)


class _Store:
    """The numbers of this process that are kept in a folder."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self.files: dict[str, Pages] = {}
        self.made: list[_Shared] = []
        os.register_at_fork(after_in_child=self._begin_anew)

    def pages(self, kind: str) -> Pages:
        if kind not in self.files:
            self.files[kind] = self.folder.pages(kind)
        return self.files[kind]

    def _begin_anew(self) -> None:
        """In the child of a fork: files of its own, from nothing."""
        self.lock = threading.Lock()
        self.files.clear()
        with suppress(OSError):  # held by somebody: what this process counts is seen until somebody tidies
            self.folder.enter()
        for value in self.made:
            value.open()


class _Shared:
    """One number. What prometheus_client calls a value class, with a store of its own in each subclass."""

    _multiprocess = True
    store: _Store

    def __init__(self, typ: str, *told: Any, multiprocess_mode: str = "", **_: Any) -> None:
        self._kind = f"gauge_{multiprocess_mode}" if typ == "gauge" else typ
        self._key = mmap_key(*told)  # names of the metric and the sample, labels, meaning
        with self.store.lock:
            self.open()
            self.store.made.append(self)

    def open(self) -> None:
        self._file = self.store.pages(self._kind)
        self._value = self._file.read(self._key)

    def inc(self, amount: float) -> None:
        with self.store.lock:
            self._value += amount
            self._file.write(self._key, self._value)

    def set(self, value: float, timestamp: float | None = None) -> None:
        with self.store.lock:
            self._value = value
            self._file.write(self._key, value, timestamp or 0.0)

    def get(self) -> float:
        with self.store.lock:
            return self._value

    def set_exemplar(self, exemplar: Any) -> None:
        """There are none here."""

    def get_exemplar(self) -> None:
        return None


def use_folder(path: str) -> Folder | None:
    """Keep the numbers of all instruments made from now on in a folder; None where that cannot be."""
    folder = Folder(Path(path))
    try:
        folder.enter()
    except OSError as error:
        _log.warning("The figures of this process are its own: %s", error)
        return None
    values.ValueClass = type("Shared", (_Shared,), {"store": _Store(folder)})
    return folder
