"""Which models get a render worker of their own: those that are named, and those of configured servers."""

from collections.abc import Mapping
from pathlib import Path

from project.embedded.errors import StackError

CPU_FLOOR = ("viseme", "mock")  # drawn by the workers that are always there
OWN_URLS = (
    "PUBLIC_URL",
    "DATABASE_URL",
    "REDIS_URL",
    "S3_ENDPOINT_URL",
    "S3_PUBLIC_ENDPOINT_URL",
    "SPEECH_URL",
)


def model_workers(given: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """(device, models) of each worker: one for each device of `RENDER_DEVICE`, the first of them with the
    models that other servers run as well. Raises StackError."""
    named = _list(given, "RENDER_MODELS")
    remote = [model for model in _remote(given) if model not in named] if _may_be_remote(given) else []
    if not named:
        return [("cpu", remote)] if remote else []
    devices = _list(given, "RENDER_DEVICE") or ["cpu"]
    return [(device, [*named, *(remote if place == 0 else ())]) for place, device in enumerate(devices)]


def _may_be_remote(given: Mapping[str, str]) -> bool:
    """Whether a server of others is set at all: reading the models takes libraries that nobody else needs."""
    names = (name.removesuffix("_FILE") for name, value in given.items() if value)
    return any(
        name.endswith("_URL") and not name.endswith("_BASE_URL") and name not in OWN_URLS for name in names
    )


def _remote(given: Mapping[str, str]) -> list[str]:
    from workers.adapters.avatar.models import BUILT_IN, read_models  # noqa: PLC0415 - see above

    folders = [BUILT_IN, *([Path(given["MODELS_DIR"])] if given.get("MODELS_DIR") else [])]
    try:
        configs = read_models(folders, _settings(given))
    except ValueError as error:
        raise StackError(str(error)) from error
    return [
        model.id
        for model in configs.values()
        if model.endpoint.base_url and not model.missing and model.id not in CPU_FLOOR
    ]


def _settings(given: Mapping[str, str]) -> dict[str, str]:
    """The environment, with what lies in files."""
    read = dict(given)
    for name, value in given.items():
        if name.endswith("_URL_FILE") and value:
            try:
                read[name.removesuffix("_FILE")] = Path(value).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise StackError(f"{name}: {error.strerror}: {value}") from error
    return read


def _list(given: Mapping[str, str], name: str) -> list[str]:
    return [part.strip() for part in given.get(name, "").split(",") if part.strip()]
