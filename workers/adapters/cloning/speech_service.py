"""Voices of services of one's own: a recording in the folder that is shared with them is all it takes."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.adapters.cloning.base import Cloned
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.options import made
from workers.adapters.tts.voice_assets import VoiceAssets


@dataclass(frozen=True, slots=True)
class FolderDialect:
    """`assets` is the shared folder as this process sees it; without one there is no cloning."""

    provider: str = "speech_service"
    model: str = ""
    assets: str = ""


class FolderCloner:
    """Nothing is asked of the service: it finds the voice when it is first used."""

    def __init__(self, dialect: FolderDialect) -> None:
        self.provider = dialect.provider
        self._dialect = dialect

    async def clone(self, *, name: str, audio: bytes, audio_url: str, language: str) -> Cloned:  # noqa: ARG002
        """See `Cloner`. The words of the recording are not known, so models follow its sound alone."""
        voice = f"clone_{secrets.token_hex(8)}"
        meta = {"id": voice, "name": name, "language": language, "provider": self.provider, "universal": True}
        assets = self._assets()
        try:
            await asyncio.to_thread(assets.add, voice, audio=audio, text="", meta=meta)
        except OSError as exc:
            raise self._unusable() from exc
        return Cloned(voice, self._dialect.model)

    async def delete(self, provider_voice: str) -> None:
        """See `Cloner`."""
        assets = self._assets()
        try:
            await asyncio.to_thread(assets.remove, provider_voice)
        except OSError as exc:
            raise self._unusable() from exc

    def _assets(self) -> VoiceAssets:
        folder = Path(self._dialect.assets)
        if not self._dialect.assets or not folder.is_dir():
            raise self._unusable()
        return VoiceAssets(folder)

    def _unusable(self) -> AdapterError:
        return AdapterError(
            "The folder of voices that is shared with the speech service cannot be used.",
            provider=self.provider,
            retryable=False,
            code="provider_error",
        )


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> FolderCloner:  # noqa: ARG001 - nothing is asked of it
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return FolderCloner(made(FolderDialect, options))
