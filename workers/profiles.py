"""Which models there are, on which backend, and their fixed facts."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from workers.adapters.avatar.base import Profile
from workers.adapters.avatar.models import BUILT_IN, ModelConfig, read_models
from workers.adapters.registry import RENDERERS

__all__ = ["config", "configs", "is_installed", "load_profile", "model_ids", "profiles"]


def configs() -> Mapping[str, ModelConfig]:
    """Every model by id, configured or not.

    `ImproperlyConfigured` names the file, or the setting, that is wrong.
    """
    folders = (BUILT_IN, *([Path(settings.MODELS_DIR)] if settings.MODELS_DIR else []))
    return _read(folders, tuple(sorted(settings.MODEL_SETTINGS.items())))


@cache
def _read(folders: tuple[Path, ...], given: tuple[tuple[str, str], ...]) -> Mapping[str, ModelConfig]:
    try:
        return read_models(folders, dict(given))
    except ValueError as exc:
        raise ImproperlyConfigured(str(exc)) from exc


def config(model: str) -> ModelConfig:
    """One model; `KeyError` for a name that nobody knows."""
    return configs()[model]


def load_profile(model: str) -> Profile:
    """One model's fixed facts; `KeyError` for a name that nobody knows."""
    return config(model).profile


def model_ids() -> tuple[str, ...]:
    """Every model with a file, whether or not this installation can run it."""
    return tuple(configs())


def profiles() -> list[Profile]:
    return [model.profile for model in configs().values()]


def is_installed(model: str) -> bool:
    """Say whether a model's adapter is part of this installation, and all settings that it needs are made."""
    made = configs().get(model)
    return made is not None and made.adapter in RENDERERS and not made.missing
