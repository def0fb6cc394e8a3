"""Which providers this installation has an account at, and where they are reached."""

from typing import Literal, get_args

from django.conf import settings

from workers.adapters import catalogue
from workers.adapters.catalogue import Provider
from workers.adapters.endpoint import Endpoint

Kind = Literal["tts", "stt", "llm", "embedding", "cloning", "listing"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SCRIPTED = "scripted"
"""The language model that is built in: it needs no account."""

_SECTIONS = {
    "tts": "synthesis",
    "stt": "recognition",
    "llm": "language_model",
    "embedding": "embedding",
    "cloning": "cloning",
    "listing": "listing",
}


def known() -> dict[str, Provider]:
    """Every provider that a file tells of, by its id."""
    return dict(catalogue.providers())


def can(provider_id: str, kind: Kind) -> bool:
    """Say whether there is such a provider, and it does that."""
    if provider_id == SCRIPTED:
        return kind == "llm"
    found = known().get(provider_id)
    return found is not None and bool(getattr(found, _SECTIONS[kind]))


def configured(kind: Kind) -> list[str]:
    """The providers that do this and can be reached with what the settings say."""
    ids = [*known(), *([] if SCRIPTED in known() else [SCRIPTED])]
    return [provider_id for provider_id in ids if can(provider_id, kind) and is_configured(provider_id)]


def is_configured(provider_id: str) -> bool:
    return provider_id == SCRIPTED or endpoint(provider_id) is not None


def endpoint(provider_id: str) -> Endpoint | None:
    """Where an adapter reaches a provider, its path included; None without an address or a needed key."""
    bare = address(provider_id)
    if bare is None:
        return None
    return Endpoint(bare.base_url + known()[provider_id].path, bare.api_key)


def address(provider_id: str) -> Endpoint | None:
    """As `endpoint`, without the path that the provider's file adds."""
    provider = known().get(provider_id)
    if provider is None:
        return None
    base_url, api_key = _given(provider)
    # A public service that wants no key is used only where somebody says so.
    if not base_url and not provider.needs_key and not _named(provider_id):
        return None
    base_url = (base_url or provider.base_url).rstrip("/")
    if not base_url or (provider.needs_key and not api_key):
        return None
    return Endpoint(base_url, api_key)


def _named(provider_id: str) -> bool:
    chains = (
        settings.TTS_PROVIDERS,
        settings.STT_PROVIDERS,
        settings.LLM_PROVIDERS,
        settings.EMBEDDING_PROVIDERS,
    )
    return any(provider_id in chain for chain in chains)


def model(provider_id: str) -> str:
    """The language model that the settings name for a provider; empty: its file's."""
    provider = known()[provider_id]
    if provider.credentials == "LLM":
        return str(settings.LLM_MODEL)
    return str(settings.PROVIDERS.get(provider.credentials, {}).get("model", ""))


def _given(provider: Provider) -> tuple[str, str]:
    """Address and key as the environment has them. Three had their names before there were others."""
    if provider.id == "local":
        return settings.SPEECH_URL, settings.SPEECH_API_KEY
    if provider.credentials == "LLM":
        return settings.LLM_BASE_URL, settings.LLM_API_KEY
    told = settings.PROVIDERS.get(provider.credentials, {})
    return told.get("base_url", ""), told.get("api_key", "")
