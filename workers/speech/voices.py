"""The catalogue of voices, read from `configs/providers/*.yaml`.

A file tells one provider: its adapter and that adapter's options, and its voices. Where the provider
is reached and its key are settings, given to `synthesizer_for` and `recognizer_for`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from workers.adapters import registry
from workers.adapters.endpoint import Endpoint
from workers.adapters.stt.base import Recognizer
from workers.adapters.tts.base import Synthesizer

PROVIDERS = Path(__file__).resolve().parents[2] / "configs" / "providers"
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice.

    `gain_db` brings it to the common loudness; it is fixed, so that clips do not pump.
    `tempo` is how fast the provider has to speak for a speed of 1.
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


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider's file. `path` is what its address needs behind the configured URL."""

    id: str
    name: str
    path: str
    synthesis: Mapping[str, Any]
    recognition: Mapping[str, Any]
    voices: tuple[Voice, ...]


def list_voices(providers: Collection[str] = (LOCAL,)) -> list[Voice]:
    """The voices of these providers, in the order of their files."""
    return [
        voice for provider in _providers().values() if provider.id in providers for voice in provider.voices
    ]


def voice(voice_id: str) -> Voice:
    """One voice by its id, whoever speaks it; `KeyError` where there is none."""
    return _voices()[voice_id]


def synthesizer_for(chosen: Voice, endpoints: Mapping[str, Endpoint]) -> Synthesizer:
    """What speaks for a voice. `endpoints` maps providers to their addresses; `KeyError` without one."""
    provider = _providers()[chosen.provider]
    options = dict(provider.synthesis)
    return registry.synthesizer(options.pop("adapter"), _reached(provider, endpoints), options)


def recognizer_for(provider_id: str, endpoints: Mapping[str, Endpoint]) -> Recognizer:
    """What understands speech at a provider; `KeyError` where it has no address or cannot."""
    provider = _providers()[provider_id]
    options = dict(provider.recognition)
    return registry.recognizer(options.pop("adapter"), _reached(provider, endpoints), options)


def _reached(provider: Provider, endpoints: Mapping[str, Endpoint]) -> Endpoint:
    given = endpoints[provider.id]
    return Endpoint(given.base_url.rstrip("/") + provider.path, given.api_key)


@cache
def _voices() -> dict[str, Voice]:
    return {voice.id: voice for provider in _providers().values() for voice in provider.voices}


@cache
def _providers() -> dict[str, Provider]:
    files = sorted(PROVIDERS.glob("*.yaml"))
    found = [_provider(yaml.safe_load(file.read_text("utf-8"))) for file in files]
    return {provider.id: provider for provider in found}


def _provider(content: dict[str, Any]) -> Provider:
    voices = tuple(_voice(content, entry) for entry in content["voices"])
    return Provider(
        id=content["id"],
        name=content["name"],
        path=content.get("path", ""),
        synthesis=content["synthesis"],
        recognition=content.get("recognition", {}),
        voices=voices,
    )


def _voice(content: dict[str, Any], entry: dict[str, Any]) -> Voice:
    return Voice(
        id=entry["id"],
        provider=content["id"],
        provider_voice=entry["provider_voice"],
        name=entry["name"],
        language=entry["language"],
        gender=entry["gender"],
        gain_db=float(entry.get("gain_db", 0.0)),
        tempo=float(entry.get("tempo", 1.0)),
        characters_per_second=float(entry.get("characters_per_second", 15.0)),
        sample_text=entry.get("sample_text") or content["sample_texts"][entry["language"][:2]],
        understands_ipa=bool(content.get("understands_ipa", False)),
        fast=bool(entry.get("fast", True)),
    )
