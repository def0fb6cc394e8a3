"""Where each provider stands: for `GET providers`, and for the page of the staff."""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from generation.providers import accounts, listing, probing, publishing
from generation.providers.accounts import KINDS, SCRIPTED, Kind
from generation.providers.models import VoiceListing
from generation.providers.probing import Reach
from generation.providers.publishing import Figures

_NAMES = {SCRIPTED: "Scripted answers"}


def providers(*, details: bool) -> list[dict[str, Any]]:
    """All providers, the configured ones first. Without `details` no errors, counts and addresses."""
    figures, reached = publishing.merged(), probing.known()
    listings = {row.pk: row for row in VoiceListing.objects.defer("voices")} if details else {}
    names = [*accounts.known(), *([] if SCRIPTED in accounts.known() else [SCRIPTED])]
    rows = [_row(name, figures, reached.get(name), listings.get(name), details=details) for name in names]
    return sorted(rows, key=_rank)


def _rank(row: dict[str, Any]) -> tuple[bool, bool]:
    """Those that are configured first, and of them those that some chain names."""
    return not row["configured"], not any(kind["place"] for kind in row["kinds"])


def _row(
    name: str,
    figures: dict[tuple[str, str], Figures],
    reach: Reach | None,
    listed: VoiceListing | None,
    *,
    details: bool,
) -> dict[str, Any]:
    configured = accounts.is_configured(name)
    known = accounts.known().get(name)
    row: dict[str, Any] = {
        "id": name,
        "name": known.name if known else _NAMES.get(name, name),
        "licence": known.licence if known else "",
        "configured": configured,
        "reachable": _reachable(name, reach) if configured else None,
        "checked_at": None if reach is None or not configured else _moment(reach.at),
        "voices": len(listing.voices_of(name)) if configured and accounts.can(name, "tts") else 0,
        "kinds": [
            _kind(name, kind, figures.get((kind, name)), details=details)
            for kind in KINDS
            if accounts.can(name, kind)
        ],
    }
    if details:
        row["probe"] = _probe(reach) if reach is not None and configured else None
        row["listing"] = None if listed is None else _listing(listed)
        row["credentials"] = _credentials(name)
    return row


def _reachable(name: str, reach: Reach | None) -> bool | None:
    """What is built in is there; of others the last probe says it."""
    if name == SCRIPTED:
        return True
    return None if reach is None else reach.reachable


def _kind(name: str, kind: Kind, figures: Figures | None, *, details: bool) -> dict[str, Any]:
    chain = _chain(kind)
    row: dict[str, Any] = {
        "kind": kind,
        "place": chain.index(name) + 1 if name in chain else None,
        "median_first_ms": None if figures is None else _rounded(figures.median_first_ms),
        "breaker_open": figures is not None and figures.breaker_open,
    }
    if details:
        row |= {
            "served": 0 if figures is None else figures.served,
            "failed": 0 if figures is None else figures.failed,
            "last_served_at": None if figures is None else _moment(figures.last_served_at),
            "last_error": None if figures is None else _error(figures),
        }
    return row


def _chain(kind: Kind) -> list[str]:
    chains = {
        "tts": settings.TTS_PROVIDERS,
        "stt": settings.STT_PROVIDERS,
        "llm": settings.LLM_PROVIDERS,
        "embedding": settings.EMBEDDING_PROVIDERS,
    }
    return list(chains.get(kind, ()))


def _credentials(name: str) -> list[str]:
    """The settings that make it work: their names, never what they hold."""
    known = accounts.known().get(name)
    if known is None:
        return []
    if known.id == "local":
        return ["SPEECH_URL", "SPEECH_API_KEY"]
    told = [] if known.base_url else [f"{known.credentials}_BASE_URL"]
    return [*told, *([f"{known.credentials}_API_KEY"] if known.needs_key else [])]


def _probe(reach: Reach) -> dict[str, Any]:
    return {"ms": reach.ms, "error": reach.error or None}


def _listing(row: VoiceListing) -> dict[str, Any]:
    moment = None if row.listed_at is None else row.listed_at.isoformat(timespec="seconds")
    return {"listed_at": moment, "error_code": row.error_code or None}


def _error(figures: Figures) -> dict[str, str | None] | None:
    if not figures.last_error_code:
        return None
    return {"code": figures.last_error_code, "at": _moment(figures.last_error_at)}


def _moment(seconds: float) -> str | None:
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
