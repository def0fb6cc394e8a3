"""What every adapter of an avatar server has to get right, and the servers to prove it against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from tests.support.flashtalk import FlashTalk, flashtalk
from tests.support.omnirt import Model, OmniRT, omnirt
from tests.support.remote import configured, remote
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.remote.renderer import RemoteRenderer
from workers.adapters.avatar.runtime import Host

Server = FlashTalk | OmniRT
KEY = "s3cret-key"


@dataclass(frozen=True)
class RenderCase:
    """One row: a model, a backend, and a server that speaks what it expects.

    `tells_size` says that the server follows the size that it is told.
    """

    name: str
    model: str
    backend: str
    prefix: str
    serve: Callable[..., AbstractContextManager[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    chunk: int = 28

    def config(self, server: Server, **options: Any) -> ModelConfig:
        chosen = {
            f"{self.model.upper()}_BACKEND": self.backend,
            f"{self.prefix}_URL": server.url,
            f"{self.prefix}_API_KEY": KEY,
        }
        return configured(self.model, chosen, **options)

    def renderer(self, server: Server, *, host: Host | None = None, **options: Any) -> RemoteRenderer:
        return remote(self.config(server, **options), host)

    def server(self) -> AbstractContextManager[Any]:
        return self.serve(**self.settings)


FLASHHEAD = {"models": {"soulx-flashhead-1.3b": Model(slice_frames=24)}}
MUSETALK: dict[str, Any] = {"frame_num": 33, "motion_frames_num": 8, "shared": False}

CASES = [
    RenderCase("flashtalk-direct", "flashtalk", "direct_ws", "FLASHTALK", flashtalk),
    RenderCase("flashtalk-omnirt", "flashtalk", "omnirt", "OMNIRT", omnirt),
    RenderCase("wav2lip-omnirt", "wav2lip", "omnirt", "OMNIRT", omnirt, chunk=8),
    RenderCase("quicktalk-omnirt", "quicktalk", "omnirt", "OMNIRT", omnirt, chunk=4),
    RenderCase("musetalk-omnirt", "musetalk", "omnirt", "OMNIRT", omnirt, chunk=25),
    RenderCase("musetalk-direct", "musetalk", "direct_ws", "MUSETALK", flashtalk, MUSETALK, chunk=25),
    RenderCase("fasterliveportrait-omnirt", "fasterliveportrait", "omnirt", "OMNIRT", omnirt, chunk=12),
    RenderCase("flashhead-direct", "flashhead", "direct_ws", "FLASHHEAD", omnirt, FLASHHEAD, chunk=24),
]
DIALECTS = [
    case for case in CASES if case.name in {"flashtalk-direct", "quicktalk-omnirt", "flashhead-direct"}
]
"""One for each way of talking; what is told apart below them is the same code."""
EXCLUSIVE = [case for case in CASES if case.model in {"flashtalk", "flashhead"}]
EXACT = [case for case in CASES if case.model not in {"wav2lip", "quicktalk"}]
"""Those whose servers answer every chunk with exactly its frames."""


def sessions(server: Server) -> int:
    """How many sessions were begun."""
    return len(server.inits) if isinstance(server, FlashTalk) else server.sessions
