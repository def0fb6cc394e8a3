"""The providers of this installation, read from `configs/providers/*.yaml`.

A file tells one account at one vendor: where it is reached by default, which settings hold its key
and address, and which adapter with which options serves each kind of work. Further files of the same
form may lie in a folder of the operator's own (`use`).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

BUILT_IN = Path(__file__).resolve().parents[2] / "configs" / "providers"
KINDS = ("synthesis", "recognition", "language_model", "embedding", "cloning", "listing")
_TEXTS = ("id", "name", "credentials", "base_url", "path", "licence", "docs")
_FIELDS = frozenset({*_TEXTS, *KINDS, "needs_key", "understands_ipa", "sample_texts", "voices"})
_VOICE_NEEDS = ("provider_voice", "name", "language", "gender")
_VOICE_FIELDS = frozenset(
    {*_VOICE_NEEDS, "id", "gain_db", "tempo", "characters_per_second", "fallback", "model"}
    | {"sample_text", "fast", "understands_ipa"}
)
_folders: list[Path] = [BUILT_IN]

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """One provider's file; there is one object of it.

    `credentials` is the prefix of its settings, `base_url` the address where none is set ("" = the
    operator has to set one), `path` what is added to either. `synthesis` and its like hold `adapter`
    and that adapter's options, or nothing where the provider cannot. `voices` are its entries as they
    stand in the file.
    """

    id: str
    name: str
    credentials: str
    base_url: str
    path: str
    needs_key: bool
    licence: str
    synthesis: Options
    recognition: Options
    language_model: Options
    embedding: Options
    cloning: Options
    listing: Options
    voices: tuple[Options, ...]
    sample_texts: Mapping[str, str]
    understands_ipa: bool


def providers() -> Mapping[str, Provider]:
    """All providers by id, in the order of their files' names.

    `ValueError` names a file that is wrong, and the folder's second file of one id.
    """
    return _read(tuple(_folders))


def use(folder: Path | None) -> None:
    """Read the providers of a further folder as well; None for none. Called once, at start."""
    _folders[1:] = [folder] if folder else []


@cache
def _read(folders: tuple[Path, ...]) -> Mapping[str, Provider]:
    found: dict[str, Provider] = {}
    for file in (file for folder in folders for file in sorted(folder.glob("*.yaml"))):
        made = read(file)
        if made.id in found:
            raise ValueError(f"{file}: there is a provider {made.id} already")
        found[made.id] = made
    return MappingProxyType(found)


def read(file: Path) -> Provider:
    """One provider's file; `ValueError` says what is wrong with it."""
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
        return _provider(content)
    except (ValueError, TypeError, KeyError, yaml.YAMLError) as exc:
        raise ValueError(f"{file}: {exc}") from exc


def _provider(content: Any) -> Provider:
    if not isinstance(content, dict):
        raise TypeError("no mapping of fields")
    _known(content, _FIELDS)
    texts: dict[str, Any] = {name: _text(content, name) for name in _TEXTS}
    if not texts["id"] or not texts["name"]:
        raise ValueError("id and name are needed")
    texts.pop("docs")
    kinds: dict[str, Any] = {kind: _options(content, kind) for kind in KINDS}
    return Provider(
        **texts,
        **kinds,
        needs_key=_flag(content, "needs_key", default=True),
        understands_ipa=_flag(content, "understands_ipa", default=False),
        sample_texts=MappingProxyType(dict(content.get("sample_texts") or {})),
        voices=tuple(_voice(texts["id"], entry) for entry in content.get("voices") or ()),
    )


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name) or ""
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _flag(content: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = content.get(name, default)
    if not isinstance(value, bool):
        raise TypeError(f"{name} is neither true nor false")
    return value


def _options(content: Mapping[str, Any], kind: str) -> Options:
    options = content.get(kind) or {}
    if not isinstance(options, dict) or (options and not isinstance(options.get("adapter"), str)):
        raise TypeError(f"{kind} names no adapter")
    return MappingProxyType(dict(options))


def _voice(provider_id: str, entry: Any) -> Options:
    if not isinstance(entry, dict):
        raise TypeError("a voice is no mapping of fields")
    _known(entry, _VOICE_FIELDS)
    missing = [name for name in _VOICE_NEEDS if not entry.get(name)]
    if missing:
        raise ValueError(f"a voice needs {_listed(missing)}")
    return MappingProxyType({"id": f"{provider_id}:{entry['provider_voice']}", **entry})


def _known(content: Mapping[str, Any], fields: Collection[str]) -> None:
    if unknown := set(content) - set(fields):
        raise ValueError(f"unknown: {_listed(unknown)}")


def _listed(names: Iterable[object]) -> str:
    return ", ".join(sorted(str(name) for name in names))
