"""The models of this installation, read from `configs/models/*.yaml` and the settings.

A file tells one model: its facts, and for each backend it can run on (`local`, `omnirt`...) which
adapter with which options draws there. Settings choose the backend and say where remote ones are.

Fields of a file: `id`, `name`, `summary`, `licence` (of the weights), `backend` (the one where no
setting `<ID>_BACKEND` chooses), `profile` and `backends`, which holds under each backend's name

* `adapter`, `preparer`: names in `workers.adapters.registry`;
* `credentials`: the prefix of `<PREFIX>_URL` and `<PREFIX>_API_KEY`, where it is a server's;
* `options`: the adapter's own, each with its default; `settings` lists those that `<ID>_<OPTION>`
  may change (and `chunk_frames`, `live_slots`, `max_batch`, `memory_mb`, `width`, `height`), the
  value taken for what its default is; `requires` those that must not stay empty;
* `weights`: a list of `path` (below the folder of weights), `what`, `licence`, `source`, and where
  known `bytes` and `sha256`; `required: false` for what is used if it is there; of the sets of
  files that share a `layout`, one complete set is enough;
* `needs`: packages by the names they are imported by;
* `max_batch`: how much a network is given at once;
* `profile`: what differs from the model's own `profile` on this backend.

A `profile` holds the fields of `base.Profile` without `id`, `backend` and the queues.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import yaml

from workers.adapters.avatar.base import FPS, SAMPLE_RATE, Profile
from workers.adapters.endpoint import Endpoint

BUILT_IN = Path(__file__).resolve().parents[3] / "configs" / "models"
PLUGIN = "plugin"
"""The adapter that loads an operator's own code, which lies in `MODELS_DIR/plugins`."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_PREFIX = re.compile(r"[A-Z][A-Z0-9_]*")
_IMPORT_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS = ("id", "name", "summary", "licence", "backend", "profile", "backends")
_BACKEND_FIELDS = (
    *("adapter", "preparer", "credentials", "options", "settings", "requires"),
    *("weights", "needs", "max_batch", "profile"),
)
_WEIGHT_FIELDS = ("path", "what", "licence", "source", "bytes", "sha256", "required", "layout")
# The smallest and largest value of every number that a profile may hold.
_NUMBERS = {
    "live_slots": (1, 256),
    "fps": (FPS, FPS),
    "sample_rate": (SAMPLE_RATE, SAMPLE_RATE),
    "lookback_samples": (0, 60 * SAMPLE_RATE),
    "lookahead_samples": (0, 10 * SAMPLE_RATE),
    "first_fragment_frames": (1, 250),
    "fragment_frames": (1, 750),
    "memory_mb": (1, 1_000_000),
    "width": (64, 4096),
    "height": (64, 4096),
    "chunk_frames": (1, 250),
}
_MAX_BATCH = (1, 1024)
_MAX_FILE_BYTES = 1 << 40
_SETTABLE = ("chunk_frames", "live_slots", "max_batch", "memory_mb", "width", "height")

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file that a model needs, and where it comes from. `bytes` and `sha256` are as published.

    One that is not `required` is used where it is there. Of the sets of files that share a `layout`,
    one complete set is enough.
    """

    path: str
    bytes: int | None
    sha256: str
    licence: str
    source: str
    what: str
    required: bool = True
    layout: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ModelConfig:
    """A model on the backend that this installation chose for it.

    `missing` says what has to be set before it can be used ("" where nothing is). `licence` is that
    of the weights. `backends` are all that its file knows.
    """

    id: str
    name: str
    summary: str
    licence: str
    backend: str
    adapter: str
    preparer: str
    profile: Profile
    endpoint: Endpoint = field(default_factory=lambda: Endpoint(""))
    options: Options = field(default_factory=lambda: MappingProxyType({}))
    weights: tuple[WeightFile, ...] = ()
    needs: tuple[str, ...] = ()
    memory_mb: int = 256
    max_batch: int = 1
    missing: str = ""
    backends: tuple[str, ...] = ()


def read_models(folders: Iterable[Path], settings: Mapping[str, str]) -> Mapping[str, ModelConfig]:
    """All models by id, sorted; `ValueError` names the file and field, or the setting, that is wrong."""
    found: dict[str, ModelConfig] = {}
    for file in (file for folder in folders for file in sorted(folder.glob("*.yaml"))):
        made = read_model(file, settings)
        if made.id in found:
            raise ValueError(f"{file}: id: there is a model {made.id} already")
        found[made.id] = made
    return MappingProxyType(dict(sorted(found.items())))


def read_model(file: Path, settings: Mapping[str, str]) -> ModelConfig:
    """One model's file; `ValueError` as of `read_models`."""
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ValueError(f"{file}: it is no YAML: {exc}") from exc
    try:
        return _model(content, settings, file.stem)
    except _WrongSettingError as exc:
        raise ValueError(str(exc)) from exc
    except (ValueError, TypeError) as exc:
        raise ValueError(f"{file}: {exc}") from exc


class _WrongSettingError(ValueError):
    """A setting, not the file, is to blame."""


def _model(content: Any, settings: Mapping[str, str], stem: str) -> ModelConfig:
    _known(content, _FIELDS, "")
    model = _matched(content, "id", _NAME)
    if model != stem:
        raise ValueError(f"id: {model} lies in a file of another name, {stem}.yaml")
    backends = content.get("backends")
    _mapping(backends, "backends")
    if not backends:
        raise ValueError("backends: one is needed")
    # Each is read, so that one that nobody chose yet is no surprise later.
    made = {name: _backend(content, model, name, settings) for name in backends}
    return made[_chosen(content, model, tuple(backends), settings)]


def _chosen(content: Options, model: str, backends: Sequence[str], settings: Mapping[str, str]) -> str:
    name = _matched(content, "backend", _NAME)
    if name not in backends:
        raise ValueError(f"backend: {name!r} is none of its backends")
    variable = variable_of(model, "backend")
    wanted = settings.get(variable) or name
    if wanted not in backends:
        raise _WrongSettingError(f"{variable} is {wanted!r}; use {' or '.join(backends)}")
    return wanted


def variable_of(model: str, name: str) -> str:
    """The setting that changes an option (or `backend`) of a model."""
    return f"{model}_{name}".upper()


def _backend(content: Options, model: str, backend: str, settings: Mapping[str, str]) -> ModelConfig:
    where = f"backends.{backend}"
    if not isinstance(backend, str) or not _NAME.fullmatch(backend):
        raise ValueError(f"{where}: small letters, digits and _ are needed")
    told = content["backends"][backend]
    _known(told, _BACKEND_FIELDS, where)
    prefix = _matched(told, "credentials", _PREFIX, where, needed=False)
    endpoint = _endpoint(prefix, settings)
    chosen = _Chosen(model, told, settings, where)
    numbers = _profile(content.get("profile", {}), "profile")
    numbers |= _profile(told.get("profile", {}), f"{where}.profile")
    numbers |= chosen.numbers(("chunk_frames", "live_slots", "memory_mb", "width", "height"))
    max_batch = _number(told.get("max_batch", 1), f"{where}.max_batch", *_MAX_BATCH)
    max_batch = chosen.numbers(("max_batch",)).get("max_batch", max_batch)
    options = chosen.options()
    profile = _made_profile(model, backend, numbers, where)
    return ModelConfig(
        id=model,
        name=_text(content, "name"),
        summary=_text(content, "summary"),
        licence=_text(content, "licence"),
        backend=backend,
        adapter=_matched(told, "adapter", _NAME, where),
        preparer=_matched(told, "preparer", _NAME, where),
        profile=profile,
        endpoint=endpoint,
        options=_frozen(options),
        weights=_weights(told.get("weights", []), f"{where}.weights"),
        needs=tuple(_names(told, "needs", _IMPORT_NAME, where)),
        memory_mb=profile.memory_mb,
        max_batch=max_batch,
        missing=_missing(prefix, endpoint, chosen.empty(options)),
        backends=tuple(content["backends"]),
    )


class _Chosen:
    """What settings may change of a backend."""

    def __init__(self, model: str, told: Options, settings: Mapping[str, str], where: str) -> None:
        self._model, self._where = model, where
        self._defaults = _mapping(told.get("options", {}), f"{where}.options")
        self._names = tuple(_names(told, "settings", _NAME, where))
        self._required = tuple(_names(told, "requires", _NAME, where))
        self._plugin = told.get("adapter") == PLUGIN
        self._settings = settings
        self._check()

    def _check(self) -> None:
        for name in self._defaults:
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise ValueError(f"{self._where}.options: {name!r} is no name")
        for name in self._names:
            if name not in self._defaults and name not in _SETTABLE:
                raise ValueError(f"{self._where}.settings: there is no option {name}")
        for name in self._required:
            if name not in self._names:
                raise ValueError(f"{self._where}.requires: {name} is not among its settings")

    def options(self) -> dict[str, Any]:
        made = {
            name: self._value(name, default) if name in self._names else default
            for name, default in self._defaults.items()
        }
        if self._plugin:
            folder = self._settings.get("MODELS_DIR", "")
            made["folder"] = f"{folder}/plugins" if folder else ""
        return made

    def numbers(self, names: Iterable[str]) -> dict[str, int]:
        """The fields among these names that a setting changes."""
        limits = {**_NUMBERS, "max_batch": _MAX_BATCH}
        return {
            name: _set_number(variable, raw, *limits[name])
            for name in names
            if name in self._names and (raw := self._settings.get(variable := variable_of(self._model, name)))
        }

    def empty(self, options: Options) -> list[str]:
        """The settings that are needed and have no value."""
        empty = [variable_of(self._model, name) for name in self._required if options[name] in ("", None)]
        return ([] if options.get("folder", "set") else ["MODELS_DIR"]) + empty

    def _value(self, name: str, default: Any) -> Any:
        variable = variable_of(self._model, name)
        raw = self._settings.get(variable, "")
        if not raw:
            return default
        try:
            return _CONVERTERS[type(default)](raw)
        except ValueError as exc:
            raise _WrongSettingError(f"{variable} is {raw!r}; {exc}") from exc
        except KeyError as exc:
            raise ValueError(f"{self._where}.settings: no setting can hold {name}") from exc


def _flag(raw: str) -> bool:
    if raw.lower() not in ("1", "0", "true", "false"):
        raise ValueError("use 1, 0, true or false")
    return raw.lower() in ("1", "true")


def _whole(raw: str) -> int:
    try:
        return int(raw)
    except ValueError:
        raise ValueError("a whole number is needed") from None


def _decimal(raw: str) -> float:
    try:
        value = float(raw)
    except ValueError:
        raise ValueError("a number is needed") from None
    if not -1e12 < value < 1e12:  # neither does nan
        raise ValueError("a number is needed")
    return value


_CONVERTERS: Mapping[type, Callable[[str], Any]] = {bool: _flag, int: _whole, float: _decimal, str: str}


def _set_number(variable: str, raw: str, smallest: int, largest: int) -> int:
    try:
        value = _whole(raw)
    except ValueError as exc:
        raise _WrongSettingError(f"{variable} is {raw!r}; {exc}") from exc
    if not smallest <= value <= largest:
        raise _WrongSettingError(f"{variable} is {value}; {smallest} to {largest} is possible")
    return value


def _missing(prefix: str, endpoint: Endpoint, empty: Sequence[str]) -> str:
    names = [f"{prefix}_URL"] if prefix and not endpoint.base_url else []
    return f"Set {' and '.join([*names, *empty])}." if names or empty else ""


def _endpoint(prefix: str, settings: Mapping[str, str]) -> Endpoint:
    url = settings.get(f"{prefix}_URL", "").rstrip("/") if prefix else ""
    if not url:
        return Endpoint("")
    _check_url(f"{prefix}_URL", url)
    return Endpoint(url, settings.get(f"{prefix}_API_KEY", ""))


def _check_url(variable: str, url: str) -> None:
    """The value is not repeated: it may hold a password, which is one of the reasons to refuse it."""
    try:
        parts = urlsplit(url)
        legal = bool(parts.hostname) and parts.port != 0
    except ValueError:
        legal = False
    if not legal or parts.scheme not in ("http", "https", "ws", "wss"):
        raise _WrongSettingError(f"{variable} is no address such as http://host:8000 or ws://host:8765")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise _WrongSettingError(f"{variable} holds more than a host, a port and a path")


def _made_profile(model: str, backend: str, numbers: dict[str, Any], where: str) -> Profile:
    made = Profile(
        id=model,
        backend=backend,
        queue=f"batch.{model}",
        live_queue=f"live.{model}",
        **({"stateless": True} | numbers),
    )
    if (made.width is None) != (made.height is None):
        raise ValueError(f"{where}.profile: width and height belong together")
    if made.stateless:
        if made.chunk_frames != 1:
            raise ValueError(f"{where}.profile.chunk_frames: only stateful models draw in chunks")
        return made
    # A fragment holds whole chunks: what a chunk began, the next fragment cannot end.
    first, every = (
        -(-frames // made.chunk_frames) * made.chunk_frames
        for frames in (made.first_fragment_frames, made.fragment_frames)
    )
    return replace(made, first_fragment_frames=first, fragment_frames=every)


def _profile(told: Any, where: str) -> dict[str, Any]:
    _known(told, (*_NUMBERS, "stateless"), where)
    made = {
        name: _number(value, f"{where}.{name}", *_NUMBERS[name])
        for name, value in told.items()
        if name != "stateless"
    }
    if not isinstance(stateless := told.get("stateless", True), bool):
        raise TypeError(f"{where}.stateless: it is neither true nor false")
    if odd := [name for name in ("width", "height") if made.get(name, 0) % 2]:
        raise ValueError(f"{where}.{odd[0]}: it is odd")
    return made | ({"stateless": stateless} if "stateless" in told else {})


def _weights(told: Any, where: str) -> tuple[WeightFile, ...]:
    if not isinstance(told, list):
        raise TypeError(f"{where}: it is no list")
    made = tuple(_weight(entry, f"{where}[{place}]") for place, entry in enumerate(told))
    named = [(weight.path, weight.layout) for weight in made]
    if twice := next((path for path, layout in named if named.count((path, layout)) > 1), ""):
        raise ValueError(f"{where}: {twice} stands there twice")
    return made


def _weight(told: Any, where: str) -> WeightFile:
    _known(told, _WEIGHT_FIELDS, where)
    size, required = told.get("bytes"), told.get("required", True)
    if size is not None:
        _number(size, f"{where}.bytes", 1, _MAX_FILE_BYTES)
    if not isinstance(required, bool):
        raise TypeError(f"{where}.required: it is neither true nor false")
    return WeightFile(
        path=_relative(_text(told, "path", where), f"{where}.path"),
        bytes=size,
        sha256=_matched(told, "sha256", _SHA256, where, needed=False),
        licence=_text(told, "licence", where),
        source=_text(told, "source", where),
        what=_text(told, "what", where),
        required=required,
        layout=_text(told, "layout", where, needed=False),
    )


def _relative(path: str, where: str) -> str:
    parts = PurePosixPath(path).parts
    if path.startswith("/") or "\\" in path or ".." in parts or not parts or path != "/".join(parts):
        raise ValueError(f"{where}: {path!r} is no path below the folder of weights")
    return path


def _known(told: Any, fields: Sequence[str], where: str) -> None:
    _mapping(told, where or "the file")
    if unknown := sorted(str(name) for name in told if name not in fields):
        raise ValueError(f"{where}{'.' if where else ''}{unknown[0]}: nobody knows this field")


def _mapping(told: Any, where: str) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise TypeError(f"{where}: it is no mapping of fields")
    return told


def _text(told: Options, name: str, where: str = "", *, needed: bool = True) -> str:
    value = told.get(name, "")
    named = f"{where}.{name}" if where else name
    if not isinstance(value, str):
        raise TypeError(f"{named}: it is no text")
    if needed and not value.strip():
        raise ValueError(f"{named}: it is needed")
    return value.strip()


def _matched(
    told: Options, name: str, pattern: "re.Pattern[str]", where: str = "", *, needed: bool = True
) -> str:
    value = _text(told, name, where, needed=needed)
    if value and not pattern.fullmatch(value):
        raise ValueError(f"{where}{'.' if where else ''}{name}: {value!r} does not look like one")
    return value


def _names(told: Options, name: str, pattern: "re.Pattern[str]", where: str) -> list[str]:
    value = told.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{where}.{name}: it is no list of names")
    if wrong := [one for one in value if not pattern.fullmatch(one) or value.count(one) > 1]:
        raise ValueError(f"{where}.{name}: {wrong[0]!r} is no name, or stands there twice")
    return value


def _number(value: Any, where: str, smallest: int, largest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{where}: it is no whole number")
    if not smallest <= value <= largest:
        raise ValueError(f"{where}: {value} is not within {smallest} to {largest}")
    return value


def _frozen(value: Any) -> Any:
    """Mappings and lists that nobody can change."""
    if isinstance(value, Mapping):
        return MappingProxyType({name: _frozen(inner) for name, inner in value.items()})
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value
