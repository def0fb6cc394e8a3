"""Paraformer, which hears while somebody speaks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.conformance.stt.suite import KEY, SENTENCES, SttCase
from tests.support.dashscope import DashScope, dashscope
from workers.adapters.endpoint import Endpoint
from workers.adapters.registry import recognizer
from workers.adapters.stt.base import Recognizer

SOON = {"connect_seconds": 2.0, "start_seconds": 0.4, "event_seconds": 0.4}


@contextmanager
def _server() -> Iterator[DashScope]:
    with dashscope(key=KEY, sentences=list(SENTENCES)) as server:
        yield server


def _made(server: DashScope) -> Recognizer:
    return recognizer("paraformer", Endpoint(server.url, KEY), SOON)


def _deafen(server: DashScope) -> None:
    server.settings.sentences = []


def _language(server: DashScope) -> Any:
    return server.requests[-1].body["parameters"]["language_hints"]


CASES = [
    SttCase(
        name="paraformer",
        server=_server,
        make=_made,
        deafen=_deafen,
        streaming=True,
        timed=True,
        language=_language,
        told_language=["en"],
        received=lambda server: server.requests[-1].received,
    )
]
