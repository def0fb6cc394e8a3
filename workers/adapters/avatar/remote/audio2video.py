"""The dialect of FlashTalk's own server and of OmniRT's `/v1/audio2video` routes: `init`, sound, pictures."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from workers.adapters.avatar.base import FPS, SAMPLE_RATE
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.remote.client import Announced, Message
from workers.adapters.avatar.remote.faults import broken, fault
from workers.adapters.avatar.remote.options import beginning, read
from workers.adapters.avatar.remote.renderer import RemoteRenderer
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.errors import AdapterError

_LOST = ("no active session", "send 'init'", "send init", "not connected", "session not found")
_LOST_CODES = {"session_not_found", "session_required", "runtime_not_ready"}
_FAILED = ("generate failed",)
_OURS = (
    *("invalid json", "missing 'ref_image'", "invalid base64", "unknown message type", "init failed"),
    *("must start with 'audi'", "expected "),
)
_FULL = re.compile(r"out ?of ?memory|\boom\b")
LARGEST = 1_000_000
_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Audio2Video:
    """`init` says what is to be drawn, `init_ok` how; errors come without a code from some servers."""

    closing = '{"type":"close"}'
    closed = "close_ok"
    drops_unsaid = False

    def __init__(self, *, prompt: str = "", seed: int = 9999, more: Mapping[str, Any] | None = None) -> None:
        self._prompt, self._seed, self._more = prompt, seed, dict(more or {})

    def opening(self, picture: bytes, facts: Mapping[str, Any]) -> str:
        """Base64 of the standard alphabet on one line: some servers refuse anything else."""
        fields: dict[str, Any] = {"type": "init", "ref_image": base64.b64encode(picture).decode()}
        if self._prompt:
            fields["prompt"] = self._prompt
        return json.dumps({**fields, "seed": self._seed, **self._more, **facts}, separators=(",", ":"))

    def announced(self, message: Message, provider: str) -> Announced | None:
        if message.get("type") != "init_ok":
            return None
        frames = whole(message, "slice_len", provider)
        fps = whole(message, "fps", provider)
        samples = message.get("chunk_samples")
        _same_speed(fps, provider)
        return Announced(
            slice_frames=frames,
            chunk_samples=(
                frames * SAMPLE_RATE // fps if samples is None else whole(message, "chunk_samples", provider)
            ),
            width=whole(message, "width", provider),
            height=whole(message, "height", provider),
            lookahead_chunks=lookahead(message, provider),
        )

    def refused(self, message: Message, provider: str) -> AdapterError:
        return refusal(message, provider)


def refusal(message: Message, provider: str) -> AdapterError:
    """What a server's `error` means. Its own words are not shown: they may repeat paths and addresses."""
    text, code = str(message.get("message", "")).lower(), str(message.get("code") or "")
    if _FULL.search(text):
        return fault("out_of_memory", "The model's server is out of memory.", provider)
    if code in _LOST_CODES or any(part in text for part in _LOST):
        return broken("model_lost", "The model's server has lost the session.", provider)
    if code == "runtime_error" or any(part in text for part in _FAILED):
        return broken("model_error", "The model's server failed to draw.", provider)
    if not code and not any(part in text for part in _OURS):
        # OmniRT repeats without a code what went wrong between it and a server behind it.
        return broken("model_lost", "The model's server lost the model behind it.", provider)
    named = f" ({code})" if _CODE.fullmatch(code) else ""
    return fault("model_rejected", f"The model's server refused what it was sent{named}.", provider)


def whole(message: Message, name: str, provider: str) -> int:
    """A whole number that a server announces. Raises `AdapterError` (`model_profile_mismatch`)."""
    value = message.get(name)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 1 <= value <= LARGEST
        or value % 1
    ):
        raise fault("model_profile_mismatch", f"The model's server announces no usable {name}.", provider)
    return int(value)


def lookahead(message: Message, provider: str) -> int:
    return whole(message, "lookahead_chunks", provider) if message.get("lookahead_chunks") else 0


def _same_speed(fps: int, provider: str) -> None:
    if fps != FPS:
        message = f"The model's server draws {fps} frames a second, not {FPS}."
        raise fault("model_profile_mismatch", message, provider)


def make(config: ModelConfig, runtime: Runtime) -> RemoteRenderer:
    """A renderer over FlashTalk's own server, over others that speak like it, or over OmniRT."""
    options = read(config.options, config.id)
    dialect = Audio2Video(prompt=options.prompt, seed=options.seed, more=beginning(options, config.profile))
    return RemoteRenderer(config, runtime, options, dialect)
