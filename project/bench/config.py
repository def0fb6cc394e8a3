"""Reads configs/benchmark/*.yaml: what is measured, on what, and how often.

    chosen = config.read(options.config)
    wishes = chosen.section("load", LoadWishes)    # a frozen dataclass of the command's own

A file has the common part below and one section for each command, named like it. Everything is strict:
a field that nobody knows is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, TypeVar

from project.bench import commands, strict
from project.embedded.stack import ROOT
from workers.adapters.avatar import fields as yaml_fields

T = TypeVar("T")
FOLDER = ROOT / "configs" / "benchmark"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
# What may not stand in a file that is published with every result.
SECRET = re.compile(r"(KEY|SECRET|PASSWORD|TOKEN|CREDENTIAL)", re.IGNORECASE)
PASSWORD_IN_ADDRESS = re.compile(r"://[^/?#]*:[^/?#]*@")
STARTED = ("stack", "stub")


@dataclass(frozen=True, slots=True)
class StackWishes:
    """The stack of a run's own; `environment` overrides ours."""

    render_workers: int = 1
    live_workers: int = 1
    web_processes: int = 1
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        told = self.environment.items()
        if secret := next(
            (n for n, value in told if SECRET.search(n) or PASSWORD_IN_ADDRESS.search(value)), ""
        ):
            raise ValueError(f"environment.{secret}: results are published; set it in your shell instead")


@dataclass(frozen=True, slots=True)
class SubjectWishes:
    """A model, and who is shown: `avatar` (id or slug of a running service) or `picture` (a file)."""

    model: str
    avatar: str = ""
    picture: str = "tests/data/portraits/mei.jpg"
    voice: str = "en-heart"
    technique: str = ""


@dataclass(frozen=True, slots=True)
class StubDelays:
    """How long the providers' stub takes, in ms; `transcript` is what it hears."""

    first_token_ms: float = 150.0
    token_ms: float = 20.0
    first_byte_ms: float = 100.0
    speech_realtime: float = 0.0
    transcription_ms: float = 50.0


@dataclass(frozen=True, slots=True)
class Common:
    """What every command shares. Without `stub` the providers that are configured are measured."""

    name: str
    subjects: tuple[SubjectWishes, ...]
    stack: StackWishes = StackWishes()
    stub: StubDelays | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r} is no name")
        if not self.subjects:
            raise ValueError("subjects: one is needed")


@dataclass(frozen=True, slots=True)
class Config:
    """One file. `common` is read; the sections are read by those who know them."""

    file: Path
    common: Common
    sections: Mapping[str, Any]

    def section(self, name: str, kind: type[T]) -> T:
        """A command's own part; its defaults where the file has none.

        Raises `ValueError` that names the file and the field.
        """
        return _in(self.file, kind, self.sections.get(name, {}), name)

    def has(self, name: str) -> bool:
        return name in self.sections

    def told(self, *names: str, attached: bool = False) -> dict[str, Any]:
        """What of it is published with a result: the common part and these sections, as they stand there.

        Of a service that was `attached` to, the file's stack and stub say nothing: they were not started.
        """
        whole = yaml_fields.load(self.file)
        said = [name for name in (*_common_fields(), *names) if not (attached and name in STARTED)]
        return {name: whole[name] for name in said if name in whole}


def path(told: str) -> Path:
    """The file of a name such as "short", or the file itself. Raises `ValueError` where there is none."""
    file = FOLDER / f"{told}.yaml" if NAME.fullmatch(told) else Path(told)
    if not file.is_file():
        there = ", ".join(sorted(one.stem for one in FOLDER.glob("*.yaml")))
        raise ValueError(f"{file} is no file; in {FOLDER.name} there are: {there or 'none'}")
    return file


def read(file: Path) -> Config:
    """Read a file. Raises `ValueError` that names it and the field which is wrong."""
    try:
        whole = yaml_fields.load(file)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if not isinstance(whole, Mapping):
        raise ValueError(f"{file}: fields are needed")  # noqa: TRY004 - one error for all of it
    known = {module.name for module in iter_modules(commands.__path__)}
    sections = {name: told for name, told in whole.items() if name in known}
    common = {name: told for name, told in whole.items() if name not in known}
    return Config(file, _in(file, Common, common, ""), sections)


def _common_fields() -> tuple[str, ...]:
    return tuple(one.name for one in fields(Common))


def _in(file: Path, kind: type[T], told: object, where: str) -> T:
    try:
        return strict.read(kind, told, where)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
