"""What the server knows: its settings, its voices, and what it was asked."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soxr
from aiohttp import web

from project.bench.babble import RATE, babble

KEY = "sk-known-to-the-server"
STATUSES = {"400", "401", "403", "404", "429", "500", "502", "503"}
COSYVOICE_RATES = {8000, 16_000, 22_050, 24_000, 44_100, 48_000}
SAMBERT_RATES = {8000, 16_000, 24_000, 48_000}
QWEN_RATES = {8000, 16_000, 24_000, 48_000}
COSYVOICE = {
    "cosyvoice-v3-flash": {"longanyang", "longanhuan"},
    "cosyvoice-v2": {
        "longxiaochun_v2", "longwan_v2", "longcheng_v2", "longhua_v2", "longshu_v2", "longshuo_v2",
        "loongbella_v2", "loongeva_v2", "loongbrian_v2", "loongluna_v2", "loongluca_v2", "loongemily_v2",
        "loongeric_v2", "loongabby_v2", "loongannie_v2", "loongandy_v2", "loongava_v2", "loongtomoka_v2",
        "loongtomoya_v2", "loongkyong_v2",
    },
}  # fmt: skip
WITHOUT_SSML = {"longcheng_v2", "longhua_v2"}
CLONES_OF_COSYVOICE = {"cosyvoice-v1", "cosyvoice-v2", "cosyvoice-v3-flash", "cosyvoice-v3-plus"}
SAMBERT = {
    f"sambert-{name}-v1"
    for name in (
        "zhichu", "zhide", "zhijia", "zhiqi", "zhiru", "zhinan", "zhimiao-emo", "cindy", "beth", "betty",
        "cally", "eva", "donna", "brian", "hanna", "clara", "camila", "perla", "indah", "waan",
    )
}  # fmt: skip
PARAFORMER = {"paraformer-realtime-v2", "paraformer-realtime-v1", "paraformer-realtime-8k-v2"}
QWEN = {
    "qwen3-tts-flash-realtime": {"Cherry", "Serena", "Ethan", "Chelsie", "Jennifer", "Ryan", "Katerina"},
    "qwen-tts-realtime": {"Cherry", "Serena", "Ethan", "Chelsie"},
}
CLONES_OF_QWEN = {"qwen3-tts-vc-realtime-2025-11-27", "qwen3-tts-vc-realtime-2026-01-15"}


@dataclass
class Settings:
    """What a test may change while the server runs.

    `frame_ms` is the sound in one message, `pause_ms` the wait before each. Recognition hears
    `sentences` one after another, each taking `sentence_ms` of sound; `end_time` says whether a final
    sentence has one, `repeat_finals` sends every one of them twice, and `silence_seconds` without any sound
    end the task. `word_times` counts the words of
    CosyVoice from the start of the task or of the "sentence".
    """

    key: str = KEY
    frame_ms: int = 100
    pause_ms: float = 0.0
    idle_seconds: float = 60.0
    sentences: list[str] = field(
        default_factory=lambda: ["Good morning.", "How are you today?", "I need new shoes."]
    )
    sentence_ms: int = 1000
    partial_ms: int = 200
    end_time: bool = True
    repeat_finals: bool = False
    silence_seconds: float = 23.0
    word_times: str = "task"
    reply: str = "It is open now."
    deploying: int = 1


@dataclass
class Asked:
    """One task, one response of a realtime session, or one call of the REST interface.

    `left_early` is set when the client went away before the end, `done` when it heard it all.
    """

    kind: str
    connection: int
    task_id: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    way: str = ""
    frames: int = 0
    received: int = 0
    done: bool = False
    left_early: bool = False
    at: float = field(default_factory=time.monotonic)


@dataclass
class Clone:
    """An enrolled voice; it answers to `target_model` alone."""

    voice: str
    target_model: str
    vendor: str
    asked: int = 0


@dataclass
class State:
    settings: Settings = field(default_factory=Settings)
    ways: list[str] = field(default_factory=list)
    requests: list[Asked] = field(default_factory=list)
    upgrades: list[dict[str, str]] = field(default_factory=list)
    clones: dict[str, Clone] = field(default_factory=dict)
    task_ids: set[str] = field(default_factory=set)
    open_now: int = 0
    sound: bytes = b""
    sample_rate: int = 0

    def refusal(self) -> str:
        """The status with which the next upgrade or call is refused, or nothing."""
        return self.ways.pop(0) if self.ways and self.ways[0] in STATUSES else ""

    def way(self) -> str:
        """How the next task misbehaves; a status waits for the next upgrade."""
        return "" if not self.ways or self.ways[0] in STATUSES else self.ways.pop(0)


class Idle:
    """Closes a socket that is not used for some time."""

    def __init__(self, socket: web.WebSocketResponse, seconds: float) -> None:
        self._socket, self._seconds = socket, seconds
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[bool] | None = None

    def begin(self) -> None:
        self.end()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._close)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _close(self) -> None:
        self._closing = asyncio.ensure_future(self._socket.close(code=1007, message=b"Request timeout"))


def spoken(text: str, rate: int) -> bytes:
    """The sound of a text, mono s16le; always the same."""
    pcm = np.frombuffer(babble(text).pcm, "<i2")
    if rate != RATE and pcm.size:
        pcm = soxr.resample(pcm, RATE, rate)
    return pcm.astype("<i2").tobytes()


def pieces(pcm: bytes, rate: int, frame_ms: int, *, odd: bool = False) -> list[bytes]:
    """The sound as it is sent; `odd` cuts in the middle of samples."""
    size = rate * frame_ms // 1000 * 2 - (1 if odd else 0)
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]
