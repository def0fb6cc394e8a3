"""Models and providers by name. Nothing heavy is imported until it is asked for."""

from pkgutil import resolve_name
from typing import cast

from workers.adapters.avatar.base import Preparer, Renderer

RENDERERS = {
    "viseme": "workers.adapters.avatar.viseme.renderer:VisemeRenderer",
    "mock": "workers.adapters.avatar.mock.renderer:MockRenderer",
}
PREPARERS = {
    "viseme": "workers.adapters.avatar.viseme.prepare:VisemePreparer",
    "mock": "workers.adapters.avatar.mock.prepare:MockPreparer",
}


def renderer(model: str) -> Renderer:
    """Make the renderer of a model; `KeyError` for a name nobody registered."""
    return cast(Renderer, resolve_name(RENDERERS[model])())


def preparer(model: str) -> Preparer:
    """Make the preparer of a model; `KeyError` for a name nobody registered."""
    return cast(Preparer, resolve_name(PREPARERS[model])())
