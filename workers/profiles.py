"""Which models there are, and their fixed facts."""

from functools import cache

from workers.adapters.avatar.base import Profile
from workers.adapters.avatar.profiles import MODELS, load_profile
from workers.adapters.registry import RENDERERS

__all__ = ["load_profile", "model_ids", "profiles"]


@cache
def model_ids() -> tuple[str, ...]:
    """Every model with a profile, whether or not this installation can run it."""
    return tuple(sorted(path.stem for path in MODELS.glob("*.yaml")))


def profiles() -> list[Profile]:
    return [load_profile(model) for model in model_ids()]


def is_installed(model: str) -> bool:
    """Say whether a renderer of this name is part of this installation."""
    return model in RENDERERS and model in model_ids()
