"""ElevenLabs: over HTTP with times and without, over its WebSocket, as PCM and compressed."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from tests.conformance.tts.suite import KEY, TEXT, WAYS, TtsCase
from tests.support.elevenlabs import VOICE, ElevenLabsService, elevenlabs, spoken
from workers.adapters.endpoint import Endpoint
from workers.adapters.tts.base import SpeechRequest, Synthesizer
from workers.adapters.tts.elevenlabs import ElevenLabs, ElevenLabsOptions


def _make(service: ElevenLabsService, **options: Any) -> Synthesizer:
    given = ElevenLabsOptions(connect_seconds=1.0, read_seconds=0.4, **options)
    return ElevenLabs(Endpoint(service.url, KEY), given)


def _case(name: str, *, ways: frozenset[str] = WAYS, reuses: bool = True, **options: Any) -> TtsCase:
    said = spoken(TEXT, options.get("output_format", "pcm_24000"))
    server: Callable[[], AbstractContextManager[Any]] = partial(
        elevenlabs, key=KEY, sound=said.pcm, sample_rate=said.rate
    )
    return TtsCase(
        name=f"elevenlabs-{name}",
        server=server,
        make=partial(_make, **options),
        request=SpeechRequest(TEXT, VOICE, "en-US"),
        lossless=options.get("output_format", "pcm").startswith("pcm"),
        words=options.get("timestamps", True),
        reuses=reuses,
        ways=ways,
    )


CASES = [
    _case("http"),
    _case("http-mp3", output_format="mp3_44100_128"),
    _case("http-plain", timestamps=False, output_format="pcm_16000", ways=WAYS - {"error"}),
    _case("http-plain-opus", timestamps=False, output_format="opus_48000_64", ways=WAYS - {"error"}),
    _case("socket", transport="websocket", reuses=False),
    _case("socket-mp3", transport="websocket", output_format="mp3_22050_32", reuses=False),
]
