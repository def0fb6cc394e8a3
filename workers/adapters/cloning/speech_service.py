"""Voices of services of one's own: a recording in the folder that is shared with them is all it takes."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.adapters.cloning.base import Cloned
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.options import made
from workers.adapters.text import clean
from workers.adapters.tts.listing import ListedVoice
from workers.adapters.tts.voice_assets import VoiceAssets, assets


@dataclass(frozen=True, slots=True)
class FolderDialect:
    """`assets` is the shared folder as this process sees it, the installation's where it is empty."""

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
        folder = self._folder()
        try:
            await asyncio.to_thread(folder.add, voice, audio=audio, text="", meta=meta)
        except OSError as exc:
            raise self._unusable() from exc
        return Cloned(voice, self._dialect.model)

    async def delete(self, provider_voice: str) -> None:
        """See `Cloner`."""
        folder = self._folder()
        try:
            await asyncio.to_thread(folder.remove, provider_voice)
        except OSError as exc:
            raise self._unusable() from exc

    def _folder(self) -> VoiceAssets:
        folder = assets(self._dialect.assets)
        if folder is None or not folder.usable:
            raise self._unusable()
        return folder

    def _unusable(self) -> AdapterError:
        return AdapterError(
            "The folder of voices that is shared with the speech service cannot be used.",
            provider=self.provider,
            retryable=False,
            code="provider_error",
        )


class FolderLister:
    """The voices that came with the services."""

    def __init__(self, dialect: FolderDialect) -> None:
        self.provider = dialect.provider
        self._dialect = dialect

    async def voices(self) -> list[ListedVoice]:
        """See `Lister`; none where there is no folder."""
        folder = assets(self._dialect.assets)
        found = await asyncio.to_thread(folder.listed) if folder else []
        return [_listed(voice, meta, self._dialect.model) for voice, meta in found]


def _listed(voice: str, meta: Mapping[str, Any], model: str) -> ListedVoice:
    gender = meta.get("gender")
    return ListedVoice(
        voice,
        clean(str(meta.get("name") or voice)),
        str(meta.get("language") or ""),
        gender if gender in ("female", "male") else "neutral",
        model,
    )


def make_lister(endpoint: Endpoint, options: Mapping[str, Any]) -> FolderLister:  # noqa: ARG001 - as below
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return FolderLister(made(FolderDialect, options))


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> FolderCloner:  # noqa: ARG001 - nothing is asked of it
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return FolderCloner(made(FolderDialect, options))
