"""MiMo's speech: whole answers, so what breaks off in the middle is asked for again."""

from contextlib import AbstractContextManager

from tests.conformance.tts.suite import KEY, TEXT, WAYS, TtsCase
from tests.support.http_service import served
from tests.support.mimo import Mimo
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.tts.base import SpeechRequest, Synthesizer
from workers.adapters.tts.mimo import ChatSpeech, ChatSynthesizer


def _server() -> AbstractContextManager[Mimo]:
    return served(Mimo(KEY, TEXT))


def _case(form: str) -> TtsCase:
    def make(service: Mimo) -> Synthesizer:
        dialect = ChatSpeech(audio_format=form, deadlines=Deadlines(connect=1.0, read=0.4))
        return ChatSynthesizer(Endpoint(service.url, KEY), dialect)

    return TtsCase(
        name=f"mimo-{form}",
        server=_server,
        make=make,
        request=SpeechRequest(TEXT, "mimo_default", "en-US"),
        lossless=form != "mp3",
        words=False,
        ways=WAYS - {"stall", "cut"},
        other_rate=16_000 if form == "wav" else 0,
    )


CASES = [_case(form) for form in ("wav", "pcm16", "mp3")]
