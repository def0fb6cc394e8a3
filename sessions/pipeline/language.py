"""The language models of this installation, ready before anybody asks."""

import asyncio
import threading
from collections.abc import Callable
from importlib import import_module

from generation.providers import configured, language_model

__all__ = ["language_model", "load", "load_early", "prepared"]

_CLIENT = "workers.adapters.llm.openai_compatible.model"


def load() -> None:
    """Import the client of language models, which takes a second and 35 MB; not where none is configured."""
    if set(configured("llm")) - {"scripted"}:
        import_module(_CLIENT)


def load_early(then: Callable[[], object]) -> None:
    """Begin with `load` on a thread of its own, while the process starts, and call `then` when it is done."""

    def run() -> None:
        try:
            load()
        finally:
            then()

    threading.Thread(target=run, name="load language models", daemon=True).start()


async def prepared() -> None:
    """Wait until `load` is done, and make the client of the installation's own model."""
    await asyncio.to_thread(load)
    language_model()
