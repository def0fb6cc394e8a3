"""DashScope's three ways to speak, against one server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from tests.conformance.tts.suite import KEY, TEXT, TtsCase
from tests.support.dashscope import DashScope, dashscope
from tests.support.dashscope.realtime import OTHER_RATE
from workers.adapters.endpoint import Endpoint
from workers.adapters.registry import synthesizer
from workers.adapters.tts.base import SpeechRequest, Synthesizer

SOON = {"connect_seconds": 2.0, "start_seconds": 0.4, "event_seconds": 0.4}


@contextmanager
def _server(**settings: Any) -> Iterator[DashScope]:
    with dashscope(key=KEY, **settings) as server:
        yield server


def _made(adapter: str, options: dict[str, Any], server: DashScope) -> Synthesizer:
    return synthesizer(adapter, Endpoint(server.url, KEY), options | SOON)


def _case(
    adapter: str,
    voice: str,
    *,
    words: bool,
    name: str = "",
    server: Callable[[], Any] = _server,
    other_rate: int = 0,
    **options: Any,
) -> TtsCase:
    return TtsCase(
        name=name or adapter,
        server=server,
        make=partial(_made, adapter, options),
        request=SpeechRequest(TEXT, voice, "en-US"),
        lossless=True,
        words=words,
        other_rate=other_rate,
    )


CASES = [
    _case("cosyvoice", "longanyang", words=True),
    _case(
        "cosyvoice",
        "longanyang",
        words=True,
        name="cosyvoice-in-many-frames",
        server=partial(_server, frame_ms=4),
        sample_rate=48_000,
    ),
    _case("sambert", "sambert-cindy-v1", words=True),
    _case("qwen", "Cherry", words=False, other_rate=OTHER_RATE),
]
