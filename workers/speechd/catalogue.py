"""The voices that this sidecar can speak with, and what makes them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LocalVoice:
    id: str
    engine: str
    style: str
    """The engine's own name of the voice."""
    language: str


VOICES = {
    voice.id: voice
    for voice in (
        LocalVoice("en-heart", "hibari", "heart", "en-US"),
        LocalVoice("en-joe", "piper-joe", "joe", "en-US"),
        LocalVoice("en-gongitsune", "kokoro", "jf_gongitsune", "en-US"),
        LocalVoice("en-alpha", "kokoro", "jf_alpha", "en-US"),
        LocalVoice("en-nezumi", "kokoro", "jf_nezumi", "en-US"),
        LocalVoice("en-tebukuro", "kokoro", "jf_tebukuro", "en-US"),
        LocalVoice("en-kumo", "kokoro", "jm_kumo", "en-US"),
    )
}
