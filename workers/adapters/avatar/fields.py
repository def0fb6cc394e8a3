"""Reads the fields of a file strictly: `ValueError` or `TypeError` says which one is wrong, and why."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as SafeLoader  # ten times as fast
except ImportError:  # PyYAML was built without its C library
    from yaml import SafeLoader  # type: ignore[assignment]

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
PREFIX = re.compile(r"[A-Z][A-Z0-9_]*")

Fields = Mapping[str, Any]


class _Loader(SafeLoader):
    """Refuses a field that stands there twice; the plain one lets the second win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice}: it stands there twice")
        return super().construct_mapping(node, deep=deep)


def load(file: Path) -> Any:
    """The content of a YAML file; `ValueError` where it cannot be read."""
    try:
        return yaml.load(file.read_text("utf-8"), _Loader)  # noqa: S506 - it is a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ValueError(f"it is no YAML: {exc}") from exc


def relative(path: str, where: str) -> str:
    """A path that stays below the folder it belongs to."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or "\\" in path or ".." in parts or not parts or path != "/".join(parts):
        raise ValueError(f"{where}: {path!r} is no path below the folder of weights")
    return path


def known(told: Any, fields: Sequence[str], where: str) -> None:
    """Refuse fields that are none of these."""
    mapping(told, where or "the file")
    if unknown := sorted(str(name) for name in told if name not in fields):
        raise ValueError(f"{where}{'.' if where else ''}{unknown[0]}: nobody knows this field")


def mapping(told: Any, where: str) -> dict[str, Any]:
    """What stands there, if that is names with values."""
    if not isinstance(told, dict):
        raise TypeError(f"{where}: it is no mapping of fields")
    return told


def text(told: Fields, name: str, where: str = "", *, needed: bool = True) -> str:
    """A field that holds text; "" where it may be left out."""
    value = told.get(name, "")
    named = f"{where}.{name}" if where else name
    if not isinstance(value, str):
        raise TypeError(f"{named}: it is no text")
    if needed and not value.strip():
        raise ValueError(f"{named}: it is needed")
    return value.strip()


def matched(
    told: Fields, name: str, pattern: re.Pattern[str], where: str = "", *, needed: bool = True
) -> str:
    """A field that holds text of a certain form."""
    value = text(told, name, where, needed=needed)
    if value and not pattern.fullmatch(value):
        raise ValueError(f"{where}{'.' if where else ''}{name}: {value!r} does not look like one")
    return value


def names(told: Fields, name: str, pattern: re.Pattern[str], where: str) -> list[str]:
    """A field that holds a list of names of a certain form, each once."""
    value = told.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"{where}.{name}: it is no list of names")
    if wrong := [one for one in value if not pattern.fullmatch(one) or value.count(one) > 1]:
        raise ValueError(f"{where}.{name}: {wrong[0]!r} is no name, or stands there twice")
    return value


def number(value: Any, where: str, smallest: int, largest: int) -> int:
    """A whole number within its limits."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{where}: it is no whole number")
    if not smallest <= value <= largest:
        raise ValueError(f"{where}: {value} is not within {smallest} to {largest}")
    return value


def frozen(value: Any) -> Any:
    """Mappings and lists that nobody can change."""
    if isinstance(value, Mapping):
        return MappingProxyType({name: frozen(inner) for name, inner in value.items()})
    return tuple(frozen(inner) for inner in value) if isinstance(value, list) else value
