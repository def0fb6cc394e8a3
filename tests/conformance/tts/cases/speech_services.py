"""Speech models that run as services of one's own."""

from contextlib import AbstractContextManager

from tests.conformance.tts.suite import KEY, TEXT, WAYS, TtsCase
from tests.support.http_service import served
from tests.support.speech_services import FIELDS, SpeechServiceFake
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.tts.base import SpeechRequest, Synthesizer
from workers.adapters.tts.speech_service import ServiceDialect, SpeechService


def _case(kind: str) -> TtsCase:
    def server() -> AbstractContextManager[SpeechServiceFake]:
        return served(SpeechServiceFake(kind, key=KEY, text=TEXT))

    def make(service: SpeechServiceFake) -> Synthesizer:
        dialect = ServiceDialect(
            provider=kind,
            path="text2audio/indextts" if kind == "omnirt" else "synthesize",
            queue_seconds=0.5,
            deadlines=Deadlines(connect=1.0, read=0.4),
        )
        return SpeechService(Endpoint(service.url, KEY), dialect)

    return TtsCase(
        name=f"service-{kind}",
        server=server,
        make=make,
        request=SpeechRequest(TEXT, "narrator", "en-US"),
        lossless=True,
        words=False,
        ways=WAYS - {"error", "empty"},
        other_rate=16_000,
    )


CASES = [_case(kind) for kind in FIELDS]
