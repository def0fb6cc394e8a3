"""Renderers and preparers of this repository's models, made without a service around them."""

from collections.abc import Mapping
from pathlib import Path

from workers.adapters import registry
from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.base import Preparer, Renderer
from workers.adapters.avatar.models import BUILT_IN, ModelConfig, read_model
from workers.adapters.avatar.runtime import Host, Runtime


def config(model: str, settings: Mapping[str, str] | None = None) -> ModelConfig:
    """A model as `configs/models` and these settings (`{"WAV2LIP_BACKEND": "omnirt"}`) have it."""
    return read_model(BUILT_IN / f"{model}.yaml", settings or {})


def renderer(
    model: str, settings: Mapping[str, str] | None = None, *, host: Host | None = None, weights: Path = Path()
) -> Renderer:
    made = config(model, settings)
    return registry.renderer(made, Runtime(host or Alone(weights), made.endpoint))


def preparer(
    model: str, settings: Mapping[str, str] | None = None, *, host: Host | None = None, weights: Path = Path()
) -> Preparer:
    made = config(model, settings)
    return registry.preparer(made, Runtime(host or Alone(weights), made.endpoint))
