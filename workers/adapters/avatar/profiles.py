"""A model's fixed facts, read from `configs/models/<id>.yaml`."""

from functools import cache
from pathlib import Path

import yaml

from workers.adapters.avatar.base import Profile

MODELS = Path(__file__).resolve().parents[3] / "configs" / "models"


@cache
def load_profile(model: str) -> Profile:
    """Read one profile. `FileNotFoundError` for an unknown model, `TypeError` for a field nobody knows."""
    return Profile(**yaml.safe_load((MODELS / f"{model}.yaml").read_text()))
