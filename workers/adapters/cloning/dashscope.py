"""Voices copied by DashScope, for CosyVoice and for Qwen: made, listed, removed.

CosyVoice fetches the recording from an address; Qwen takes it along. Either voice speaks with the model
that it was made for and with no other.
"""

import asyncio
import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from workers.adapters import retry
from workers.adapters.cloning.base import Cloned
from workers.adapters.dashscope.account import VOICES, Account, Common
from workers.adapters.dashscope.verdicts import verdict
from workers.adapters.endpoint import Endpoint, async_client, judged
from workers.adapters.errors import AdapterError
from workers.adapters.refusals import refusal
from workers.adapters.tts.listing import ListedVoice

Kind = Literal["cosyvoice", "qwen"]
Output = Mapping[str, Any]

ENROLMENTS: dict[Kind, str] = {"cosyvoice": "voice-enrollment", "qwen": "qwen-voice-enrollment"}
HINTS = frozenset({"zh", "en", "fr", "de", "ja", "ko", "ru"})
MAX_DATA_BYTES = 10 * 1024 * 1024
PAGE, MAX_PAGES = 100, 50
_NOT_MADE = frozenset({"provider_busy", "provider_unreachable"})
"""After these nothing was made at the service, so that asking again makes no second voice."""


@dataclass(frozen=True, kw_only=True)
class Dialect(Common):
    """`model` is the one that new voices are for. `ready_seconds` is how long one may be prepared."""

    model: str
    answer_seconds: float = 180.0
    ready_seconds: float = 120.0
    poll_seconds: float = 1.0


class Enrolment:
    """The calls for voices of one kind."""

    def __init__(self, endpoint: Endpoint, options: Common, kind: Kind, answer_seconds: float) -> None:
        self.account = Account(endpoint, options)
        self._kind, self._seconds = kind, answer_seconds

    async def ask(self, action: str, given: Output, *, again: frozenset[str] | None = None) -> Output:
        """One call, its output. `again` are the errors after which it is made once more; None for all."""
        for attempt in range(1, retry.ATTEMPTS + 1):
            try:
                return await self._once({"action": action, **given})
            except AdapterError as exc:
                pause = retry.pause_or_raise(
                    exc, attempt, delivered=again is not None and exc.code not in again
                )
            await asyncio.sleep(pause)
        raise AssertionError  # the last attempt returns or raises

    async def _once(self, given: Output) -> Output:
        account = self.account
        timeout = httpx.Timeout(self._seconds, connect=account.options.connect_seconds)
        pool = async_client(account.base_url, asyncio.get_running_loop())
        body = {"model": ENROLMENTS[self._kind], "input": given}
        try:
            response = await pool.post(VOICES, json=body, headers=account.headers, timeout=timeout)
        except (httpx.ConnectError, httpx.TimeoutException) as exc:
            raise judged(exc, account.provider) from None
        except httpx.HTTPError:
            raise account.truncated() from None
        return self._output(response)

    def _output(self, response: httpx.Response) -> Output:
        try:
            body = response.json()
        except ValueError:
            body = None
        content = body if isinstance(body, dict) else {}
        if response.status_code != httpx.codes.OK:
            raise self._refusal(response, content)
        output = content.get("output")
        if not isinstance(output, dict):
            raise self.account.unreadable()
        return output

    def _refusal(self, response: httpx.Response, content: Output) -> AdapterError:
        provider, code = self.account.provider, str(content.get("code") or "")
        asked = response.headers.get("retry-after")
        general = refusal(provider, response.status_code, b"", asked)
        if not code:
            return general
        error = verdict(provider, code, str(content.get("message") or ""))
        if code.lower().endswith("notfound"):
            error.code, error.retryable = "provider_not_found", False
        error.retry_after = general.retry_after
        return error


class _Cloner:
    """What both kinds share."""

    def __init__(self, endpoint: Endpoint, dialect: Dialect, kind: Kind) -> None:
        self.provider = dialect.provider
        self._dialect = dialect
        self._calls = Enrolment(endpoint, dialect, kind, dialect.answer_seconds)

    async def _make(self, action: str, field: str, **given: Any) -> str:
        given["target_model"] = self._dialect.model
        output = await self._calls.ask(action, given, again=_NOT_MADE)
        voice = output.get(field)
        if not isinstance(voice, str) or not voice:
            raise self._calls.account.unreadable()
        return voice

    async def _remove(self, action: str, field: str, voice: str) -> None:
        try:
            await self._calls.ask(action, {field: voice})
        except AdapterError as exc:
            if exc.code not in ("provider_not_found", "voice_not_found"):
                raise


class CosyVoiceCloner(_Cloner):
    """Makes voices of a recording that the service fetches."""

    async def clone(self, *, name: str, audio: bytes, audio_url: str, language: str) -> Cloned:  # noqa: ARG002
        """See `Cloner`. Returns once the voice can speak."""
        account = self._calls.account
        if not audio_url:
            raise account.error("The provider fetches the recording from an address.", "audio_url_needed")
        prefix = re.sub(r"[^a-z0-9]", "", name.lower())[:9] or "voice"
        hint = language.partition("-")[0].lower()
        hints = {"language_hints": [hint]} if hint in HINTS else {}
        voice = await self._make("create_voice", "voice_id", prefix=prefix, url=audio_url, **hints)
        try:
            await self._ready(voice)
        except BaseException:
            # Nobody will ever learn its name: it must not stay and count against the account's limit.
            await asyncio.shield(asyncio.gather(self.delete(voice), return_exceptions=True))
            raise
        return Cloned(voice, self._dialect.model)

    async def delete(self, provider_voice: str) -> None:
        """See `Cloner`."""
        await self._remove("delete_voice", "voice_id", provider_voice)

    async def _ready(self, voice: str) -> None:
        account, loop = self._calls.account, asyncio.get_running_loop()
        until = loop.time() + self._dialect.ready_seconds
        while (status := (await self._calls.ask("query_voice", {"voice_id": voice})).get("status")) != "OK":
            if status != "DEPLOYING":
                raise account.error("The provider cannot use the recording.", "provider_rejected")
            if loop.time() > until:
                raise account.error("The voice was not ready in time.", "provider_timeout", retryable=True)
            await asyncio.sleep(self._dialect.poll_seconds)


class QwenCloner(_Cloner):
    """Makes voices of a recording that is sent along."""

    async def clone(self, *, name: str, audio: bytes, audio_url: str, language: str) -> Cloned:  # noqa: ARG002
        """See `Cloner`."""
        data = f"data:audio/wav;base64,{base64.b64encode(audio).decode()}"
        if len(data) > MAX_DATA_BYTES:
            raise self._calls.account.error("The recording is too long.", "audio_too_long")
        preferred = re.sub(r"[^a-z0-9_]", "", name.lower()).lstrip("0123456789_")[:16] or "voice"
        voice = await self._make("create", "voice", preferred_name=preferred, audio={"data": data})
        return Cloned(voice, self._dialect.model)

    async def delete(self, provider_voice: str) -> None:
        """See `Cloner`."""
        await self._remove("delete", "voice", provider_voice)


@dataclass(frozen=True, kw_only=True)
class Listing(Common):
    """Which voices are listed: those of CosyVoice or those of Qwen."""

    kind: Kind
    answer_seconds: float = 30.0


class ClonedVoices:
    """Lists the voices that an account has made."""

    def __init__(self, endpoint: Endpoint, options: Listing) -> None:
        self.provider = options.provider
        self._kind = options.kind
        self._calls = Enrolment(endpoint, options, options.kind, options.answer_seconds)

    async def voices(self) -> list[ListedVoice]:
        """See `Lister`; those that are not ready are left out."""
        action = "list_voice" if self._kind == "cosyvoice" else "list"
        found: list[ListedVoice] = []
        for index in range(MAX_PAGES):
            output = await self._calls.ask(action, {"page_index": index, "page_size": PAGE})
            entries = output.get("voice_list")
            if not isinstance(entries, list):
                raise self._calls.account.unreadable()
            found += [voice for entry in entries if (voice := self._voice(entry))]
            if len(entries) < PAGE:
                break
        return found

    def _voice(self, entry: Any) -> ListedVoice | None:
        told = entry if isinstance(entry, dict) else {}
        voice = told.get("voice_id") or told.get("voice")
        if not isinstance(voice, str) or told.get("status", "OK") != "OK":
            return None
        # CosyVoice tells the model and the name in the id alone: model-name-number.
        model, _, rest = voice.rpartition("-")[0].rpartition("-")
        if self._kind == "qwen":
            model = str(told.get("target_model") or "")
            rest = voice.partition("-voice-")[0].rpartition("-")[2]
        return ListedVoice(voice, rest or voice, "", "neutral", model=model)


def make_cosyvoice(endpoint: Endpoint, options: Mapping[str, Any]) -> CosyVoiceCloner:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    dialect = Dialect(**{"provider": "cosyvoice", "model": "cosyvoice-v3-flash", **options})
    return CosyVoiceCloner(endpoint, dialect, "cosyvoice")


def make_qwen(endpoint: Endpoint, options: Mapping[str, Any]) -> QwenCloner:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    dialect = Dialect(**{"provider": "qwen", "model": "qwen3-tts-vc-realtime-2025-11-27", **options})
    return QwenCloner(endpoint, dialect, "qwen")


def make_lister(endpoint: Endpoint, options: Mapping[str, Any]) -> ClonedVoices:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return ClonedVoices(endpoint, Listing(**options))
