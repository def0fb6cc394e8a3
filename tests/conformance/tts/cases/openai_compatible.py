"""OpenAI's speech over HTTP, raw and in each of the formats that are decoded."""

from contextlib import AbstractContextManager

from tests.conformance.tts.suite import KEY, TEXT, WAYS, TtsCase
from tests.support.http_service import served
from tests.support.openai_speech import OpenAISpeech
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.tts.base import SpeechRequest, Synthesizer
from workers.adapters.tts.openai_compatible import OpenAICompatible, SpeechDialect


def _server() -> AbstractContextManager[OpenAISpeech]:
    return served(OpenAISpeech(KEY, TEXT))


def _case(form: str) -> TtsCase:
    def make(service: OpenAISpeech) -> Synthesizer:
        dialect = SpeechDialect(
            provider="openai",
            model="gpt-4o-mini-tts",
            response_format=form,
            deadlines=Deadlines(connect=1.0, read=0.4),
        )
        return OpenAICompatible(Endpoint(service.url, KEY), dialect)

    lossless = form in ("pcm", "wav")
    return TtsCase(
        name=f"openai-{form}",
        server=_server,
        make=make,
        request=SpeechRequest(TEXT, "alloy", "en-US"),
        lossless=lossless,
        words=False,
        ways=WAYS - {"error"},
        other_rate=16_000 if lossless else 0,
    )


CASES = [_case(form) for form in ("pcm", "wav", "mp3", "opus", "aac")]
