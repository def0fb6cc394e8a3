"""OpenAI's transcriptions over HTTP, in the formats that tell more or less."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.conformance.stt.suite import KEY, SENTENCES, WAYS, SttCase
from tests.support.http_service import served
from tests.support.openai_speech import OpenAISpeech
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.stt.base import Recognizer, joined
from workers.adapters.stt.openai_compatible import HearingDialect, OpenAICompatible


@contextmanager
def _server() -> Iterator[OpenAISpeech]:
    service = OpenAISpeech(KEY)
    service.transcript = joined(SENTENCES)
    with served(service):
        yield service


def _deafen(service: OpenAISpeech) -> None:
    service.transcript = ""


def _case(form: str) -> SttCase:
    def make(service: OpenAISpeech) -> Recognizer:
        dialect = HearingDialect(
            provider="openai",
            model="whisper-1",
            response_format=form,
            deadlines=Deadlines(connect=1.0, read=0.4),
        )
        return OpenAICompatible(Endpoint(service.url, KEY), dialect)

    return SttCase(
        name=f"openai-{form}",
        server=_server,
        make=make,
        deafen=_deafen,
        streaming=False,
        timed=form == "verbose_json",
        language=lambda service: service.requests[-1]["language"],
        ways=WAYS - {"error"},
    )


CASES = [_case(form) for form in ("json", "verbose_json")]
