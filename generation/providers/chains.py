"""Who serves, and who takes over: the chains of a clip, a session, a persona and the installation."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pkgutil import resolve_name
from typing import Any, cast

from django.conf import settings

from generation.providers import accounts, listing, publishing
from generation.providers.accounts import SCRIPTED, Kind
from project.errors import Unavailable
from workers.adapters import registry
from workers.adapters.embedding.base import Embedder
from workers.adapters.endpoint import Endpoint
from workers.adapters.llm.base import LanguageModel
from workers.adapters.llm.chain import FallbackModel
from workers.adapters.stt.base import Recognizer
from workers.adapters.stt.chain import FallbackRecognizer
from workers.adapters.tts.base import Synthesizer
from workers.speech import voices
from workers.speech.chain import FallbackSynthesizer
from workers.speech.voices import Voice

WARM_SECONDS = 60.0  # servers keep a silent connection open for about that long


def chain(kind: Kind, wanted: Collection[str] = ()) -> list[str]:
    """Who is asked, in order: those that were wished for, else the installation's; configured ones alone.

    A wish of which nobody is left (its providers were configured once) is as none.
    """
    deployment = {
        "tts": settings.TTS_PROVIDERS,
        "stt": settings.STT_PROVIDERS,
        "llm": settings.LLM_PROVIDERS,
        "embedding": settings.EMBEDDING_PROVIDERS,
    }

    def able(names: Collection[str]) -> list[str]:
        known = dict.fromkeys(names)
        return [name for name in known if accounts.can(name, kind) and accounts.is_configured(name)]

    return able(wanted) or able(deployment[kind])


def asked(kind: Kind, *wishes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The first wish that says who serves; empty where none does."""
    return next((tuple(wish[kind]) for wish in wishes if wish.get(kind)), ())


# --- Speaking --------------------------------------------------------------------------------


def synthesizer(voice: Voice, wanted: Collection[str] = (), *, alone: bool = False) -> Synthesizer:
    """What speaks with a voice, and with others in its place while its provider is away.

    `alone` leaves nobody to take its place. Raises `Unavailable` where neither its provider nor one of
    the others is configured.
    """
    speakers = speaking(voice, wanted)[: 1 if alone else None]
    if alone and speakers[:1] != [voice]:
        speakers = []
    if not speakers:
        raise Unavailable(f"Nobody is configured to speak for {voice.id}.", code="provider_not_configured")
    return _speaking(voice, tuple((spoken, _address(spoken.provider)) for spoken in speakers))


def speaking(voice: Voice, wanted: Collection[str] = ()) -> list[Voice]:
    """The voice itself, those its file names in its place, and the chain's of the same language."""
    named = [found for voice_id in voice.fallback if (found := _voice(voice_id)) is not None]
    others = [found for name in chain("tts", wanted) if (found := _like(voice, name)) is not None]
    first = {spoken.id: spoken for spoken in (voice, *named) if accounts.is_configured(spoken.provider)}
    told = {spoken.provider for spoken in first.values()}
    return [*first.values(), *(spoken for spoken in others if spoken.provider not in told)]


def _voice(voice_id: str) -> Voice | None:
    try:
        return voices.voice(voice_id)
    except KeyError:
        return None


def _like(voice: Voice, provider_id: str) -> Voice | None:
    """The voice of a provider that is most like this one; None where it does not speak the language."""
    spoken = _spoken(voice.language)
    same = (other for other in listing.voices_of(provider_id) if _spoken(other.language) == spoken)
    return min(same, key=lambda other: _distance(voice, other), default=None)


def _distance(voice: Voice, other: Voice) -> tuple[bool, bool, bool]:
    return voice.gender != other.gender, voice.language.lower() != other.language.lower(), not other.fast


def _spoken(language: str) -> str:
    return language.partition("-")[0].lower()


@lru_cache(maxsize=512)
def _speaking(asked: Voice, speakers: tuple[tuple[Voice, Endpoint], ...]) -> Synthesizer:
    publishing.start()
    members = [
        (voice, voices.synthesizer_for(voice, {voice.provider: reached})) for voice, reached in speakers
    ]
    return FallbackSynthesizer(members, asked=asked)


# --- Hearing ---------------------------------------------------------------------------------


def recognizer(wanted: Collection[str] = ()) -> Recognizer:
    """What understands speech. Raises `Unavailable` where nobody is configured to."""
    names = chain("stt", wanted)
    if not names:
        raise Unavailable("Nobody is configured to understand speech.", code="provider_not_configured")
    return _hearing(tuple((name, _address(name)) for name in names))


@lru_cache(maxsize=64)
def _hearing(listeners: tuple[tuple[str, Endpoint], ...]) -> Recognizer:
    publishing.start()
    members = [voices.recognizer_for(name, {name: reached}) for name, reached in listeners]
    return FallbackRecognizer(members)


# --- Answering -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Ready:
    """A model, and until when (loop time, s) its connections are taken to be open."""

    model: LanguageModel
    warm_until: float = 0.0
    warming: asyncio.Task[None] | None = None


def language_model(wanted: Collection[str] = ()) -> LanguageModel:
    """What answers; the scripted model where nobody else is configured.

    One per process, event loop and chain, so that connections stay open from turn to turn. Asked for
    again after a while, it gets a connection ready in the background.
    """
    names = chain("llm", wanted) or [SCRIPTED]
    loop = asyncio.get_running_loop()
    ready = _answering(loop, tuple(_minds(names)), float(settings.LLM_TIMEOUT_SECONDS))
    if loop.time() >= ready.warm_until:
        ready.warm_until = loop.time() + WARM_SECONDS
        ready.warming = loop.create_task(ready.model.warm())
    return ready.model


def _minds(names: Sequence[str]) -> Iterator[tuple[str, Endpoint, str]]:
    for name in names:
        if name == SCRIPTED:
            yield name, Endpoint(""), ""
        elif (reached := accounts.endpoint(name)) is not None:
            yield name, reached, accounts.model(name)


@lru_cache(maxsize=64)
def _answering(
    loop: asyncio.AbstractEventLoop,  # noqa: ARG001 - connections belong to it
    minds: tuple[tuple[str, Endpoint, str], ...],
    seconds: float,
) -> _Ready:
    publishing.start()
    members = [_mind(*mind, seconds=seconds) for mind in minds]
    return _Ready(FallbackModel(members, seconds=seconds))


def _mind(name: str, reached: Endpoint, model: str, *, seconds: float) -> LanguageModel:
    if name == SCRIPTED:
        return registry.language_model(SCRIPTED, reached, {})
    defaults = {"provider": name, "first_token": seconds, "between_tokens": seconds}
    options: dict[str, Any] = {**defaults, **accounts.known()[name].language_model}
    adapter = options.pop("adapter")
    if model:
        options["model"] = model
    return registry.language_model(adapter, reached, options)


# --- Vectors ---------------------------------------------------------------------------------


def embedder(wanted: Collection[str] = ()) -> Embedder | None:
    """What makes vectors of texts; None where nobody is configured to. One alone: vectors of two differ."""
    name = next(iter(chain("embedding", wanted)), None)
    reached = accounts.endpoint(name) if name is not None else None
    return None if name is None or reached is None else _embedding(name, reached)


@lru_cache(maxsize=16)
def _embedding(name: str, reached: Endpoint) -> Embedder:
    publishing.start()
    options: dict[str, Any] = {"provider": name, **accounts.known()[name].embedding}
    return cast("Embedder", resolve_name(registry.EMBEDDERS[options.pop("adapter")])(reached, options))


def _address(provider_id: str) -> Endpoint:
    reached = accounts.address(provider_id)
    if reached is None:
        raise Unavailable(f"{provider_id} is not configured.", code="provider_not_configured")
    return reached
