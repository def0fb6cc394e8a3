"""OmniRT's native dialect, which FlashHead's WebSocket servers speak too: `session.create`."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from workers.adapters.avatar.base import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.remote.audio2video import lookahead, refusal, whole
from workers.adapters.avatar.remote.client import Announced, Message
from workers.adapters.avatar.remote.faults import fault
from workers.adapters.avatar.remote.options import beginning, read
from workers.adapters.avatar.remote.renderer import RemoteRenderer
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.errors import AdapterError


class Realtime:
    """`session.create` and `session.created`; a text with figures may come before each answer."""

    closing = '{"type":"session.close"}'
    closed = "session.closed"
    drops_unsaid = True

    def __init__(
        self,
        *,
        model: str,
        prompt: str = "",
        seed: int = 9999,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._model, self._prompt = model, prompt
        self._config = {"seed": seed, "fps": FPS, "sample_rate": SAMPLE_RATE, **(config or {})}

    def opening(self, picture: bytes, facts: Mapping[str, Any]) -> str:
        inputs: dict[str, Any] = {"image_b64": base64.b64encode(picture).decode(), **facts}
        if self._prompt:
            inputs["prompt"] = self._prompt
        said: dict[str, Any] = {"type": "session.create", "model": self._model}
        return json.dumps({**said, "inputs": inputs, "config": self._config}, separators=(",", ":"))

    def announced(self, message: Message, provider: str) -> Announced | None:
        if message.get("type") != "session.created":
            return None
        sound, shown = message.get("audio"), message.get("video")
        if not isinstance(sound, dict) or not isinstance(shown, dict):
            raise fault("model_profile_mismatch", "The model's server announces no format.", provider)
        rate, fps = whole(sound, "sample_rate", provider), whole(shown, "fps", provider)
        if (rate, fps) != (SAMPLE_RATE, FPS):
            told = f"{fps} frames a second for {rate} Hz, not {FPS} for {SAMPLE_RATE}"
            raise fault("model_profile_mismatch", f"The model's server draws {told}.", provider)
        samples = whole(sound, "chunk_samples", provider)
        return Announced(
            slice_frames=round(samples * fps / rate),
            chunk_samples=samples,
            width=whole(shown, "width", provider),
            height=whole(shown, "height", provider),
            lookahead_chunks=lookahead(message, provider),
        )

    def refused(self, message: Message, provider: str) -> AdapterError:
        return refusal(message, provider)


def make(config: ModelConfig, runtime: Runtime) -> RemoteRenderer:
    """A renderer over a server that speaks the native dialect."""
    options, profile = read(config.options, config.id), config.profile
    size = {"width": profile.width, "height": profile.height} if profile.width and profile.height else {}
    dialect = Realtime(
        model=options.model or config.id,
        prompt=options.prompt,
        seed=options.seed,
        config={
            **size,
            "chunk_samples": profile.chunk_frames * SAMPLES_PER_FRAME,
            **beginning(options, profile),
        },
    )
    return RemoteRenderer(config, runtime, options, dialect)
