"""The voices of each provider: those of its file, and those it lists itself.

Providers are asked by a periodic task; what they told last is kept in the database, so that no request
waits for them and a stored clip's voice is known while its provider is away.
"""

import asyncio
import logging
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from django.utils import timezone

from generation.providers import accounts
from generation.providers.models import ClonedVoice, VoiceListing
from workers.adapters import bridge, registry
from workers.adapters.errors import AdapterError
from workers.adapters.tts.listing import ListedVoice
from workers.speech import voices
from workers.speech.voices import Voice

SAMPLE_TEXTS = Path(__file__).resolve().parents[2] / "configs" / "sample_texts.yaml"
FRESH = timedelta(days=1)
RETRY = timedelta(hours=1)
DEADLINE_SECONDS = 60.0
MAX_VOICES = 3000
MEMO_SECONDS = 30.0
MULTILINGUAL = "en"
"""The language of voices that speak several."""
COPIES = re.compile(r"vcl_?[0-9a-f]{4}", re.IGNORECASE)
"""What our own copies are called at a provider: they are their owners' alone. Some take no underscore."""

_log = logging.getLogger(__name__)
_memo: dict[str, tuple[float, list[Voice]]] = {}


def voices_of(provider_id: str) -> list[Voice]:
    """The voices of one provider, in the order in which they should be offered."""
    own = [_heard(voice) for voice in voices.list_voices((provider_id,))]
    if not accounts.can(provider_id, "listing"):
        return own
    told = {voice.provider_voice for voice in own}
    return [*own, *(voice for voice in _listed(provider_id) if voice.provider_voice not in told)]


def made(provider_id: str, entry: Mapping[str, Any]) -> Voice:
    """A voice that no file tells of."""
    return _heard(voices.made(accounts.known()[provider_id], entry))


def forget() -> None:
    """Read the kept voices anew: after a refresh, and in tests."""
    _memo.clear()


def refresh(*, force: bool = False) -> list[str]:
    """Ask every provider whose list is old; return those that answered."""
    return [name for name in accounts.configured("listing") if (force or _is_due(name)) and _refresh(name)]


def _is_due(provider_id: str) -> bool:
    row = VoiceListing.objects.filter(pk=provider_id).first()
    if row is None or row.tried_at is None:
        return True
    now = timezone.now()
    fresh = row.listed_at is not None and row.listed_at > now - FRESH
    return not fresh and row.tried_at <= now - RETRY


def _refresh(provider_id: str) -> bool:
    now = timezone.now()
    try:
        told = bridge.finished(lambda: asked(provider_id))
    except (AdapterError, TimeoutError) as error:
        code = error.code if isinstance(error, AdapterError) else "provider_timeout"
        _log.warning("Listing the voices of %s failed: %s", provider_id, code)
        VoiceListing.objects.update_or_create(
            provider=provider_id, defaults={"tried_at": now, "error_code": code[:60]}
        )
        return False
    kept = list(_kept(told))[:MAX_VOICES]
    VoiceListing.objects.update_or_create(
        provider=provider_id, defaults={"voices": kept, "listed_at": now, "tried_at": now, "error_code": ""}
    )
    forget()
    return True


async def asked(provider_id: str) -> list[ListedVoice]:
    reached = accounts.endpoint(provider_id)
    if reached is None:
        return []
    options = {"provider": provider_id, **accounts.known()[provider_id].listing}
    lister = registry.lister(options.pop("adapter"), reached, options)
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await lister.voices()


def _kept(told: Iterable[ListedVoice]) -> Iterable[dict[str, str]]:
    """What is kept of a list: of copies that customers had made, nothing."""
    copies = set(ClonedVoice.objects.exclude(provider_voice="").values_list("provider_voice", flat=True))
    for voice in told:
        if voice.provider_voice in copies or COPIES.search(f"{voice.provider_voice} {voice.name}"):
            continue
        if voice.provider_voice and len(voice.provider_voice) <= 100:
            yield {
                "provider_voice": voice.provider_voice,
                "name": (voice.name or voice.provider_voice)[:120],
                "language": voice.language[:20] or MULTILINGUAL,
                "gender": voice.gender,
                "model": voice.model[:120],
            }


def _listed(provider_id: str) -> list[Voice]:
    now = time.monotonic()
    until, known = _memo.get(provider_id, (0.0, []))
    if until > now:
        return known
    row = VoiceListing.objects.filter(pk=provider_id).first()
    known = [made(provider_id, entry) for entry in row.voices] if row is not None else []
    _memo[provider_id] = now + MEMO_SECONDS, known
    return known


def _heard(voice: Voice) -> Voice:
    """The voice with something to say."""
    if voice.sample_text:
        return voice
    texts = _sample_texts()
    return replace(voice, sample_text=texts.get(voice.language.partition("-")[0].lower(), texts["other"]))


@cache
def _sample_texts() -> dict[str, str]:
    return {str(name): text for name, text in yaml.safe_load(SAMPLE_TEXTS.read_text("utf-8")).items()}
