"""Edge's voices, as its own list tells them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.adapters.endpoint import Endpoint
from workers.adapters.text import clean
from workers.adapters.tts.edge import SERVICE, judged, module
from workers.adapters.tts.listing import Gender, ListedVoice


@dataclass(frozen=True, slots=True)
class EdgeVoices:
    """Asks the service for its voices; some three hundred."""

    base_url: str
    provider: str = "edge"
    seconds: float = 15.0

    async def voices(self) -> list[ListedVoice]:
        """All of them. Raises `AdapterError`."""
        library = await asyncio.to_thread(module, "edge_tts.voices", self.base_url, self.provider)
        try:
            async with asyncio.timeout(self.seconds):
                return [_voice(entry) for entry in await library.list_voices()]
        except Exception as exc:
            # The library lets errors of its parsing through as they are.
            raise judged(exc, self.provider) from exc


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> EdgeVoices:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return EdgeVoices(endpoint.base_url or SERVICE, **options)


def _voice(entry: Mapping[str, Any]) -> ListedVoice:
    """`zh-CN-liaoning-XiaobeiNeural` is called Xiaobei."""
    short = clean(str(entry["ShortName"]))
    gender: Gender = {"Female": "female", "Male": "male"}.get(entry["Gender"], "neutral")  # type: ignore[assignment]
    name = short.rpartition("-")[2].removesuffix("Neural").removesuffix("Multilingual")
    return ListedVoice(short, name or short, clean(str(entry["Locale"])), gender)
