"""The catalogue of voices: what the files of the providers say about them.

Where a provider is reached and its key are settings, given to `synthesizer_for` and `recognizer_for`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from workers.adapters import catalogue, registry
from workers.adapters.catalogue import Provider
from workers.adapters.endpoint import Endpoint
from workers.adapters.stt.base import Recognizer
from workers.adapters.tts.base import Synthesizer

LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice.

    `gain_db` brings it to the common loudness; it is fixed, so that clips do not pump.
    `tempo` is how fast the provider has to speak for a speed of 1. `fallback` are the voices to speak
    in its place while its provider is away; `model` is the only one it speaks with, "" for the provider's.
    """

    id: str
    provider: str
    provider_voice: str
    name: str
    language: str
    gender: Literal["female", "male", "neutral"]
    gain_db: float
    tempo: float
    characters_per_second: float
    sample_text: str
    understands_ipa: bool
    fast: bool
    fallback: tuple[str, ...] = ()
    model: str = ""


def list_voices(providers: Collection[str] = (LOCAL,)) -> list[Voice]:
    """The voices of these providers, in the order of their files."""
    return [voice for voice in _voices().values() if voice.provider in providers]


def voice(voice_id: str) -> Voice:
    """One voice by its id, whoever speaks it; `KeyError` where there is none."""
    return _voices()[voice_id]


def synthesizer_for(chosen: Voice, endpoints: Mapping[str, Endpoint]) -> Synthesizer:
    """What speaks for a voice. `endpoints` maps providers to their addresses; `KeyError` without one."""
    provider = catalogue.providers()[chosen.provider]
    adapter, options = _adapter(provider, provider.synthesis)
    if chosen.model:
        options["model"] = chosen.model
    return registry.synthesizer(adapter, _reached(provider, endpoints), options)


def recognizer_for(provider_id: str, endpoints: Mapping[str, Endpoint]) -> Recognizer:
    """What understands speech at a provider; `KeyError` where it has no address or cannot."""
    provider = catalogue.providers()[provider_id]
    adapter, options = _adapter(provider, provider.recognition)
    return registry.recognizer(adapter, _reached(provider, endpoints), options)


def made(provider: Provider, entry: Mapping[str, Any]) -> Voice:
    """The voice of an entry as it stands in a provider's file; other than there, the id may be any."""
    language = entry["language"]
    spoken = language.partition("-")[0]
    return Voice(
        id=entry.get("id") or f"{provider.id}:{entry['provider_voice']}",
        provider=provider.id,
        provider_voice=entry["provider_voice"],
        name=entry["name"],
        language=language,
        gender=entry["gender"],
        gain_db=float(entry.get("gain_db", 0.0)),
        tempo=float(entry.get("tempo", 1.0)),
        characters_per_second=float(entry.get("characters_per_second", 15.0)),
        sample_text=entry.get("sample_text") or provider.sample_texts.get(spoken, ""),
        understands_ipa=bool(entry.get("understands_ipa", provider.understands_ipa)),
        fast=bool(entry.get("fast", True)),
        fallback=tuple(entry.get("fallback") or ()),
        model=str(entry.get("model") or ""),
    )


def _adapter(provider: Provider, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The adapter's name and its options. It names itself as the file does: files may share an adapter."""
    options = {"provider": provider.id, **given}
    return options.pop("adapter"), options


def _reached(provider: Provider, endpoints: Mapping[str, Endpoint]) -> Endpoint:
    given = endpoints[provider.id]
    return Endpoint(given.base_url.rstrip("/") + provider.path, given.api_key)


def _voices() -> Mapping[str, Voice]:
    return _made(tuple(catalogue.providers().values()))


@lru_cache(maxsize=4)
def _made(providers: tuple[Provider, ...]) -> Mapping[str, Voice]:
    """All voices by id, which are the keys of stored clips and sessions: two of one id are a mistake."""
    found: dict[str, Voice] = {}
    for provider in providers:
        for one in (made(provider, entry) for entry in provider.voices):
            if one.id in found:
                raise ValueError(f"{provider.id}: there is a voice {one.id} already")
            found[one.id] = one
    return found
