"""Readers of environment values that refuse nonsense. Only `project.settings` calls them."""

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from django.core.exceptions import ImproperlyConfigured

# Ten times as fast where PyYAML was built with its C library: every process and command reads these files.
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


def env_str(name: str, default: str = "", *, choices: Collection[str] = ()) -> str:
    """Read text, or the contents of the file that `NAME_FILE` points to (Docker secrets)."""
    value = os.environ.get(name) or default  # noqa: TID251 - the one place
    if path := os.environ.get(f"{name}_FILE"):  # noqa: TID251
        value = Path(path).read_text(encoding="utf-8").strip()
    if choices and value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}; use {' or '.join(choices)}")
    return value


def env_key(name: str) -> str:
    """Read a key, without the spaces and line ends of whoever pasted it: no header takes them."""
    value = env_str(name).strip()
    if not (value.isascii() and value.isprintable()):
        raise ImproperlyConfigured(f"{name} has characters that no key has")
    return value


def env_bool(name: str, *, default: bool) -> bool:
    raw = env_str(name, "1" if default else "0").lower()
    if raw not in ("1", "0", "true", "false"):
        raise ImproperlyConfigured(f"{name} is {raw!r}; use 1, 0, true or false")
    return raw in ("1", "true")


def env_int(name: str, default: int, *, minimum: int = 0) -> int:
    raw = env_str(name, str(default))
    try:
        value = int(raw)
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name} is {raw!r}; a whole number is needed") from exc
    if value < minimum:
        raise ImproperlyConfigured(f"{name} is {value}; at least {minimum} is needed")
    return value


def env_range(name: str) -> tuple[int, int] | None:
    """Read ports such as `40000-40999`; None where nothing is set."""
    raw = env_str(name)
    if not raw:
        return None
    first, _, last = raw.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) < 65_536):
        raise ImproperlyConfigured(f"{name} is {raw!r}; two ports such as 40000-40999 are needed")
    return int(first), int(last)


def env_share(name: str, default: float) -> float:
    """Read a number from 0 to 1."""
    raw = env_str(name, str(default))
    try:
        value = float(raw)
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name} is {raw!r}; a number from 0 to 1 is needed") from exc
    if not 0.0 <= value <= 1.0:
        raise ImproperlyConfigured(f"{name} is {raw}; a number from 0 to 1 is needed")
    return value


def env_pairs(name: str) -> dict[str, str]:
    """Read names with values, such as `a=1,b=2`; values may be percent-encoded."""
    made: dict[str, str] = {}
    for part in env_list(name):
        key, found, value = part.partition("=")
        if not found or not key.strip():
            raise ImproperlyConfigured(f"{name} is a list such as name=value,name=value")
        made[key.strip()] = unquote(value.strip())
    return made


def env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in env_str(name, default).split(",") if part.strip()]


def env_providers(folders: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Read the address, key and model of every provider that a file in `configs/providers` names.

    A file's `credentials` is what its variables begin with: `<PREFIX>_BASE_URL`, `<PREFIX>_API_KEY` and
    `<PREFIX>_MODEL`. Files may share one.
    """
    prefixes = {prefix for folder in folders for file in folder.glob("*.yaml") if (prefix := _prefix(file))}
    return {
        prefix: {
            "base_url": env_str(f"{prefix}_BASE_URL").rstrip("/"),
            "api_key": env_key(f"{prefix}_API_KEY"),
            "model": env_str(f"{prefix}_MODEL"),
        }
        for prefix in sorted(prefixes)
    }


def env_models(folders: Iterable[Path]) -> dict[str, str]:
    """Read what the environment says of every model that a file in `configs/models` names.

    That is `<ID>_BACKEND`, for each backend its `<PREFIX>_URL` and `<PREFIX>_API_KEY`, and `<ID>_<OPTION>`
    for the options that its file lets settings change. What is not set is left out; whether it makes
    sense is for the reader of the files to say.
    """
    names = {name for folder in folders for file in folder.glob("*.yaml") for name in _of_model(file)}
    found = {name: env_key(name) if name.endswith("_API_KEY") else env_str(name) for name in sorted(names)}
    return {name: value for name, value in found.items() if value}


def _of_model(file: Path) -> Iterable[str]:
    content = _yaml(file)
    backends = content.get("backends") if isinstance(content, dict) else None
    if not isinstance(backends, dict):
        return
    model = file.stem.upper()
    yield f"{model}_BACKEND"
    for told in (told for told in backends.values() if isinstance(told, dict)):
        if prefix := told.get("credentials"):
            yield from (f"{prefix}_URL", f"{prefix}_API_KEY")
        options = told.get("settings")
        yield from (f"{model}_{option}".upper() for option in (options if isinstance(options, list) else ()))


def _yaml(file: Path) -> Any:
    try:
        return yaml.load(file.read_text(encoding="utf-8"), _LOADER)  # noqa: S506 - both are safe
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise ImproperlyConfigured(f"{file} is no YAML: {exc}") from exc


def _prefix(file: Path) -> str:
    content = _yaml(file)
    prefix = content.get("credentials", "") if isinstance(content, dict) else ""
    if prefix and not re.fullmatch(r"[A-Z][A-Z0-9_]*", prefix):
        raise ImproperlyConfigured(f"{file}: credentials is {prefix!r}; capitals, digits and _ are needed")
    return str(prefix)


def database(url: str) -> dict[str, Any]:
    """Turn `sqlite:///path` or `postgres://user:password@host:port/name` into Django's dictionary."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(parts.path[1:]),
            # Tests use a file as well: an in-memory database knows no waiting for locks.
            "TEST": {"NAME": unquote(parts.path[1:]) + ".test"},
            "OPTIONS": {
                # Write locks are taken at BEGIN, so that two writers wait for each other
                # instead of failing when a reader becomes a writer.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": (
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;"
                ),
            },
        }
    if parts.scheme in ("postgres", "postgresql"):
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path[1:]),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": parts.hostname or "",
            "PORT": str(parts.port or 5432),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
        }
    raise ImproperlyConfigured("DATABASE_URL must start with sqlite:/// or postgres://")
