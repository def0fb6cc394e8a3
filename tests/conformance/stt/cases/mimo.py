"""MiMo, which hears within a chat."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.conformance.stt.suite import KEY, SENTENCES, SttCase
from tests.support.http_service import served
from tests.support.mimo import Mimo
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.stt.base import Recognizer, joined
from workers.adapters.stt.mimo import ChatHearing, ChatRecognizer


@contextmanager
def _server() -> Iterator[Mimo]:
    service = Mimo(KEY)
    service.transcript = joined(SENTENCES)
    with served(service):
        yield service


def _made(service: Mimo) -> Recognizer:
    return ChatRecognizer(Endpoint(service.url, KEY), ChatHearing(deadlines=Deadlines(connect=1.0, read=0.4)))


def _deafen(service: Mimo) -> None:
    service.transcript = ""


CASES = [
    SttCase(name="mimo", server=_server, make=_made, deafen=_deafen, streaming=False, timed=False),
]
