"""The voices of an ElevenLabs account: its own, cloned ones and those it added from the library."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.adapters.elevenlabs import PROVIDER, Account, answered
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.text import clean
from workers.adapters.tts.listing import Gender, ListedVoice

PAGE_SIZE = 100
MAX_PAGES = 50


@dataclass(frozen=True, slots=True)
class ElevenLabsVoices:
    """Asks an account for its voices, page by page."""

    account: Account
    provider: str = PROVIDER
    connect_seconds: float = 5.0
    read_seconds: float = 15.0

    async def voices(self) -> list[ListedVoice]:
        """All of them, once each. Raises `AdapterError`."""
        found: dict[str, ListedVoice] = {}
        token = ""
        for _ in range(MAX_PAGES):
            page = await self._page(token)
            try:
                found |= {str(entry["voice_id"]): _voice(entry) for entry in page["voices"]}
            except (KeyError, TypeError, AttributeError) as exc:
                raise self._unreadable() from exc
            before, token = token, str(page.get("next_page_token") or "")
            if not page.get("has_more") or not token or token == before:
                break
        return list(found.values())

    async def _page(self, token: str) -> dict[str, Any]:
        params = {"page_size": str(PAGE_SIZE)} | ({"next_page_token": token} if token else {})
        deadlines = Deadlines(connect=self.connect_seconds, read=self.read_seconds)
        async with answered(
            self.account, "GET", "v2/voices", provider=self.provider, deadlines=deadlines, params=params
        ) as response:
            await response.aread()
            try:
                page = response.json()
            except ValueError as exc:
                raise self._unreadable() from exc
        if not isinstance(page, dict):
            raise self._unreadable()
        return page

    def _unreadable(self) -> AdapterError:
        message = "The speech provider's list of voices cannot be read."
        return AdapterError(message, provider=self.provider, retryable=False)


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> ElevenLabsVoices:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return ElevenLabsVoices(Account(endpoint.base_url, endpoint.api_key), **options)


def _voice(entry: Mapping[str, Any]) -> ListedVoice:
    labels = entry.get("labels") or {}
    gender: Gender = {"female": "female", "male": "male"}.get(str(labels.get("gender")).lower(), "neutral")  # type: ignore[assignment]
    return ListedVoice(
        provider_voice=str(entry["voice_id"]),
        name=clean(str(entry.get("name") or "")).strip() or str(entry["voice_id"]),
        language=_language(entry, labels),
        gender=gender,
        preview_url=str(entry.get("preview_url") or ""),
    )


def _language(entry: Mapping[str, Any], labels: Mapping[str, Any]) -> str:
    """What it was recorded in, with its country where that is told; every voice speaks other ones too."""
    verified = [one for one in entry.get("verified_languages") or [] if isinstance(one, Mapping)]
    given = str(labels.get("language") or "")
    fitting = [one for one in verified if given in ("", one.get("language"))]
    locale = str(fitting[0].get("locale") or fitting[0].get("language") or "") if fitting else ""
    return locale or given
