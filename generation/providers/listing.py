"""The voices of each provider: those of its file, and those it lists itself."""

from workers.speech import voices
from workers.speech.voices import Voice


def voices_of(provider_id: str) -> list[Voice]:
    """The voices of one provider, in the order in which they should be offered."""
    return voices.list_voices((provider_id,))
