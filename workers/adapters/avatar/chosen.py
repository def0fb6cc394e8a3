"""What settings say of a model's backend: where its server is, and other values of its options."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from workers.adapters.avatar import fields
from workers.adapters.avatar.base import FPS, SAMPLE_RATE
from workers.adapters.endpoint import Endpoint

PLUGIN = "plugin"
"""The adapter that loads an operator's own code, which lies in `MODELS_DIR/plugins`."""

NUMBERS = {
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
"""The smallest and largest value of every number that a profile may hold."""
MAX_BATCH = (1, 1024)

_SETTABLE = {name: NUMBERS[name] for name in ("chunk_frames", "live_slots", "memory_mb", "width", "height")}
_SETTABLE["max_batch"] = MAX_BATCH
_TAKEN = ("backend", "url", "api_key", "folder")


class WrongSettingError(ValueError):
    """A setting, not the file, is to blame; the message names it."""


def variable_of(model: str, name: str) -> str:
    """The setting that changes an option (or `backend`) of a model."""
    return f"{model}_{name}".upper()


class Chosen:
    """One backend of a file, `told`, beside the settings."""

    def __init__(self, model: str, told: fields.Fields, settings: Mapping[str, str], where: str) -> None:
        """`ValueError` or `TypeError` where the file's lists and its options do not fit together."""
        self._model, self._settings, self._where = model, settings, where
        self._defaults = fields.mapping(told.get("options", {}), f"{where}.options")
        self._names = fields.names(told, "settings", fields.NAME, where)
        self._required = fields.names(told, "requires", fields.NAME, where)
        self._prefix = fields.matched(told, "credentials", fields.PREFIX, where, needed=False)
        self._plugin = told.get("adapter") == PLUGIN
        self._check()

    def _check(self) -> None:
        for name in self._defaults:
            if not isinstance(name, str) or not fields.NAME.fullmatch(name):
                raise ValueError(f"{self._where}.options: {name!r} is no name")
        for name in self._names:
            if name in _TAKEN:
                raise ValueError(f"{self._where}.settings: {name} means something else already")
            if name not in self._defaults and name not in _SETTABLE:
                raise ValueError(f"{self._where}.settings: there is no option {name}")
            if name in self._defaults and type(self._defaults[name]) not in _CONVERTERS:
                raise ValueError(f"{self._where}.settings: no setting can hold {name}")
        for name in self._required:
            if name not in self._names or name not in self._defaults:
                raise ValueError(f"{self._where}.requires: {name} is no option among its settings")

    def endpoint(self) -> Endpoint:
        """Where its server is; an empty address where it has none, or nobody said."""
        url = self._settings.get(f"{self._prefix}_URL", "").rstrip("/") if self._prefix else ""
        if not url:
            return Endpoint("")
        _check_url(f"{self._prefix}_URL", url)
        return Endpoint(url, self._settings.get(f"{self._prefix}_API_KEY", ""))

    def options(self) -> dict[str, Any]:
        made = {name: self._value(name, default) for name, default in self._defaults.items()}
        if self._plugin:
            folder = self._settings.get("MODELS_DIR", "")
            made["folder"] = f"{folder}/plugins" if folder else ""
        return made

    def numbers(self) -> dict[str, int]:
        """The fields of the profile, and `max_batch`, that settings change."""
        given = {name: self._given(name) for name in _SETTABLE if name not in self._defaults}
        return {
            name: _checked_number(variable_of(self._model, name), raw, *_SETTABLE[name])
            for name, raw in given.items()
            if raw
        }

    def missing(self) -> str:
        """Say which settings it needs and has not; "" where none."""
        options = self.options()
        names = [f"{self._prefix}_URL"] if self._prefix and not self.endpoint().base_url else []
        names += ["MODELS_DIR"] if self._plugin and not options["folder"] else []
        names += [variable_of(self._model, name) for name in self._required if options[name] == ""]
        return f"Set {' and '.join(names)}." if names else ""

    def _given(self, name: str) -> str:
        return self._settings.get(variable_of(self._model, name), "") if name in self._names else ""

    def _value(self, name: str, default: Any) -> Any:
        if not (raw := self._given(name)):
            return default
        try:
            return _CONVERTERS[type(default)](raw)
        except ValueError as exc:
            raise WrongSettingError(f"{variable_of(self._model, name)} is {raw!r}; {exc}") from exc


def choose(model: str, default: str, backends: Iterable[str], settings: Mapping[str, str]) -> str:
    """The backend that a setting names, or the file's own choice."""
    wanted = settings.get(variable := variable_of(model, "backend")) or default
    if wanted not in backends:
        raise WrongSettingError(f"{variable} is {wanted!r}; use {' or '.join(backends)}")
    return wanted


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
        value = float("nan")
    if not -1e12 < value < 1e12:  # which is also said of what is no number
        raise ValueError("a number is needed")
    return value


_CONVERTERS: Mapping[type, Callable[[str], Any]] = {bool: _flag, int: _whole, float: _decimal, str: str}


def _checked_number(variable: str, raw: str, smallest: int, largest: int) -> int:
    try:
        value = _whole(raw)
    except ValueError as exc:
        raise WrongSettingError(f"{variable} is {raw!r}; {exc}") from exc
    if not smallest <= value <= largest:
        raise WrongSettingError(f"{variable} is {value}; {smallest} to {largest} is possible")
    if variable.endswith(("_WIDTH", "_HEIGHT")) and value % 2:
        raise WrongSettingError(f"{variable} is {value}; an even number is needed")
    return value


def _check_url(variable: str, url: str) -> None:
    """The value is not repeated: it may hold a password, which is one of the reasons to refuse it."""
    try:
        parts = urlsplit(url)
        legal = bool(parts.hostname) and parts.port != 0
    except ValueError:
        legal = False
    if not legal or parts.scheme not in ("http", "https", "ws", "wss"):
        raise WrongSettingError(f"{variable} is no address such as http://host:8000 or ws://host:8765")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise WrongSettingError(f"{variable} holds more than a host, a port and a path")
