"""Instant voice cloning at ElevenLabs. The recording travels with the request."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from workers.adapters.cloning.base import Cloned
from workers.adapters.elevenlabs import PROVIDER, Account, answered
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError

MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class ElevenLabsCloner:
    """Copies voices into an account; `model` is passed on as the one to speak them with, "" for any."""

    account: Account
    provider: str = PROVIDER
    model: str = ""
    remove_background_noise: bool = False
    connect_seconds: float = 5.0
    read_seconds: float = 180.0

    async def clone(self, *, name: str, audio: bytes, audio_url: str, language: str) -> Cloned:  # noqa: ARG002 - not needed here
        """Make a voice of a 24 kHz mono WAV. Raises `AdapterError`; then there is no voice."""
        data = {
            "name": name[:MAX_NAME],
            "remove_background_noise": str(self.remove_background_noise).lower(),
            "labels": json.dumps({"language": language.partition("-")[0]} if language else {}),
        }
        files = {"files": ("voice.wav", audio, "audio/wav")}
        answer = await self._asked("POST", "v1/voices/add", data=data, files=files)
        voice = answer.get("voice_id")
        if not isinstance(voice, str) or not voice:
            raise self._error("The speech provider's answer cannot be read.", "provider_error")
        if answer.get("requires_verification"):
            await self.delete(voice)
            raise self._error("The speech provider wants this voice verified first.", "voice_unverified")
        return Cloned(voice, self.model)

    async def delete(self, provider_voice: str) -> None:
        """Remove a voice; one that is not there is no error."""
        try:
            await self._asked("DELETE", f"v1/voices/{quote(provider_voice, safe='')}")
        except AdapterError as exc:
            if exc.code not in ("voice_not_found", "provider_not_found"):
                raise

    async def _asked(self, method: str, path: str, **call: Any) -> dict[str, Any]:
        deadlines = Deadlines(connect=self.connect_seconds, read=self.read_seconds)
        async with answered(
            self.account, method, path, provider=self.provider, deadlines=deadlines, **call
        ) as response:
            await response.aread()
            try:
                answer = response.json()
            except ValueError:
                answer = None
        return answer if isinstance(answer, dict) else {}

    def _error(self, message: str, code: str) -> AdapterError:
        return AdapterError(message, provider=self.provider, retryable=False, code=code)


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> ElevenLabsCloner:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return ElevenLabsCloner(Account(endpoint.base_url, endpoint.api_key), **options)
