"""The voices that a provider's account has, asked of the provider."""

from dataclasses import dataclass
from typing import Literal, Protocol

Gender = Literal["female", "male", "neutral"]


@dataclass(frozen=True, slots=True)
class ListedVoice:
    """A voice as its provider tells it.

    `language` is a tag such as `en-US`, or "" where it speaks several. `model` is the only one that
    the voice speaks with, where there is such a bond; `preview_url` a recording to listen to.
    """

    provider_voice: str
    name: str
    language: str
    gender: Gender
    model: str = ""
    preview_url: str = ""


class Lister(Protocol):
    """Asks a provider for its voices."""

    provider: str

    async def voices(self) -> list[ListedVoice]:
        """All of them, page by page where there are pages. Raises `AdapterError`."""
        ...
