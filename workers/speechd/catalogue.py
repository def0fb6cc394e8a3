"""The voices that this sidecar can speak with, and what makes them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LocalVoice:
    """`style` is the engine's own name of the voice.

    `pitch` plays the engine's samples faster or slower than they were made, while the engine speaks
    as much slower or faster: another person with the same manner, at no cost.
    """

    id: str
    engine: str
    style: str
    language: str
    pitch: float = 1.0


VOICES = {
    voice.id: voice
    for voice in (
        LocalVoice("en-heart", "hibari", "heart", "en-US"),
        LocalVoice("en-iris", "hibari", "heart", "en-US", pitch=1.07),
        LocalVoice("en-vera", "hibari", "heart", "en-US", pitch=0.93),
        LocalVoice("en-joe", "piper-joe", "joe", "en-US"),
        LocalVoice("en-max", "piper-joe", "joe", "en-US", pitch=0.93),
        LocalVoice("en-leo", "piper-joe", "joe", "en-US", pitch=1.07),
        LocalVoice("en-gongitsune", "kokoro", "jf_gongitsune", "en-US"),
        LocalVoice("en-tebukuro", "kokoro", "jf_tebukuro", "en-US"),
        LocalVoice("en-kumo", "kokoro", "jm_kumo", "en-US"),
        LocalVoice("ja-gongitsune", "kokoro", "jf_gongitsune", "ja-JP"),
        LocalVoice("ja-alpha", "kokoro", "jf_alpha", "ja-JP"),
        LocalVoice("ja-kumo", "kokoro", "jm_kumo", "ja-JP"),
    )
}
