"""Edge's voices: MP3 over a WebSocket for each text, through the library."""

from tests.conformance.tts.suite import TEXT, WAYS, TtsCase
from tests.support.edge_service import EdgeService, edge_service, spoken
from workers.adapters.endpoint import Endpoint
from workers.adapters.tts.base import SpeechRequest, Synthesizer
from workers.adapters.tts.edge import Edge, EdgeOptions


def _make(service: EdgeService) -> Synthesizer:
    service.sound = spoken(TEXT).pcm
    return Edge(Endpoint(service.url), EdgeOptions(connect_seconds=0.1, read_seconds=0.4))


CASES = [
    TtsCase(
        name="edge",
        server=edge_service,
        make=_make,
        request=SpeechRequest(TEXT, "en-US-AriaNeural", "en-US"),
        lossless=False,
        words=True,
        reuses=False,
        ways=WAYS,
    )
]
