"""What every provider that copies voices looks like from outside."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Cloned:
    """A copied voice. `model` is the one it was made for, and the only one it speaks with; may be ""."""

    provider_voice: str
    model: str = ""


class Cloner(Protocol):
    """Copies the voice of a recording. Both calls raise `AdapterError`."""

    provider: str

    async def clone(self, *, name: str, audio: bytes, audio_url: str, language: str) -> Cloned:
        """Make a voice. `audio` is a 24 kHz mono WAV; `audio_url` the same, public for a short time.

        Where storage is not public `audio_url` is "", and a provider that fetches the recording
        itself fails with the code `audio_url_needed`.
        """
        ...

    async def delete(self, provider_voice: str) -> None:
        """Remove a voice at the provider; one that is not there is no error."""
        ...
