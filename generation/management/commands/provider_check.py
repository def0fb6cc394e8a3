"""`manage.py provider_check NAME`: whether a provider does its part, and how long each step takes."""

import asyncio
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from generation import hearing
from generation.providers import accounts, chains, listing, probing
from generation.providers.accounts import KINDS, SCRIPTED, Kind
from generation.voices import Voice
from workers.adapters.errors import AdapterError
from workers.adapters.llm.base import Message
from workers.adapters.tts.base import PcmChunk, SpeechRequest, Timings
from workers.adapters.tts.speech_service import SpeechService
from workers.rendering.audio import decode_audio
from workers.speech.script import sentences
from workers.speech.speak import speak_sentence
from workers.speech.voices import synthesizer_for

DEADLINE_SECONDS = 60.0
QUESTION = "Say hello in one short sentence."
HEARD = "One, two, three, four, five."


class Command(BaseCommand):
    help = "Ask a provider for a little of each thing it does, and tell each step's time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="Id of the provider, as in configs/providers")
        parser.add_argument("--kind", choices=KINDS, help="One kind of work; without it each that it does")
        parser.add_argument("--voice", default="", help="Id of a voice, or the provider's name of it")
        parser.add_argument("--text", default="", help="What is said or asked")
        parser.add_argument("--sound", type=Path, help="A file that is listened to")

    def handle(self, *_: Any, **options: Any) -> None:
        name = options["name"]
        if name not in accounts.known() and name != SCRIPTED:
            known = ", ".join(sorted(accounts.known()))
            raise CommandError(f"There is no provider {name}. There are: {known}")
        kinds = [kind for kind in KINDS if accounts.can(name, kind)]
        if options["kind"]:
            if options["kind"] not in kinds:
                raise CommandError(f"{name} does not do {options['kind']}; it does: {', '.join(kinds)}")
            kinds = [options["kind"]]
        if not accounts.is_configured(name):
            raise CommandError(f"{name} is not configured. It needs: {_needs(name)}")
        self._reach(name)
        results = [self._check(name, kind, options) for kind in kinds]
        if not all(results):
            raise CommandError(f"{name} did not do its part.")
        self.stdout.write(self.style.SUCCESS(f"{name} works."))

    def _reach(self, name: str) -> None:
        endpoint = accounts.endpoint(name)
        if endpoint is None or not endpoint.base_url:
            return
        reach = probing.try_to_reach(endpoint)
        self._step("connection", reach.error or "opened", reach.ms)

    def _check(self, name: str, kind: Kind, options: dict[str, Any]) -> bool:
        check = _CHECKS[kind]
        self.stdout.write(f"{kind}:")
        try:
            check(self._step, name, options)
        except AdapterError as error:
            again = "; another try may help" if error.retryable else ""
            self.stdout.write(self.style.ERROR(f"  failed: {error.code}: {error}{again}"))
            return False
        except TimeoutError:
            self.stdout.write(self.style.ERROR(f"  failed: nothing within {DEADLINE_SECONDS:g} s"))
            return False
        return True

    def _step(self, step: str, found: str, milliseconds: float | None = None) -> None:
        took = "" if milliseconds is None else f"{milliseconds:8.0f} ms"
        self.stdout.write(f"  {step:<14}{took:>12}  {found}")


Tell = Callable[..., None]


def _needs(name: str) -> str:
    provider = accounts.known()[name]
    if provider.id == "local":
        return "SPEECH_URL"
    needed = [] if provider.base_url and provider.needs_key else [f"{provider.credentials}_BASE_URL"]
    return " and ".join([*needed, *([f"{provider.credentials}_API_KEY"] if provider.needs_key else [])])


def _speak(tell: Tell, name: str, options: dict[str, Any]) -> None:
    voice = _voice(name, options["voice"])
    synthesizer = chains.synthesizer(voice, alone=True)
    text = options["text"] or voice.sample_text
    request = SpeechRequest(text, voice.provider_voice, voice.language, priority="live")
    tell("voice", f"{voice.id}: {voice.name} ({voice.language})")
    _ready(tell, voice)

    async def run() -> None:
        started, first, samples, rate, words = time.monotonic(), 0.0, 0, 0, 0
        async with asyncio.timeout(DEADLINE_SECONDS), aclosing(synthesizer.stream(request)) as events:
            async for event in events:
                if isinstance(event, PcmChunk):
                    first = first or _since(started)
                    samples, rate = samples + len(event.pcm) // 2, event.sample_rate
                elif isinstance(event, Timings):
                    words += len(event.words)
        tell("first sound", f"{rate} Hz", first)
        tell("all of it", f"{samples / max(rate, 1):.1f} s of sound, times of {words} words", _since(started))

    asyncio.run(run())


def _ready(tell: Tell, voice: Voice) -> None:
    """What a service of one's own says of its model. Some load it only when they are asked to speak."""
    address = accounts.address(voice.provider)
    adapter = synthesizer_for(voice, {voice.provider: address}) if address else None
    if not isinstance(adapter, SpeechService):
        return
    started = time.monotonic()
    try:
        asyncio.run(adapter.check())
    except AdapterError as error:
        tell("model", f"{error.code}: {error}", _since(started))
    else:
        tell("model", "loaded", _since(started))


def _voice(name: str, wanted: str) -> Voice:
    found = listing.voices_of(name)
    if not wanted:
        if not found:
            raise CommandError(f"{name} lists no voices: name one with --voice")
        return found[0]
    named = [voice for voice in found if wanted in (voice.id, voice.provider_voice)]
    entry = {"provider_voice": wanted, "name": wanted, "language": "en-US", "gender": "neutral"}
    return named[0] if named else listing.made(name, entry)


def _hear(tell: Tell, name: str, options: dict[str, Any]) -> None:
    recognizer = chains.recognizer((name,))
    started = time.monotonic()
    if options["sound"]:
        pcm = b"".join(decode_audio(options["sound"], max_seconds=60)[1])
    else:
        voice = _voice(chains.chain("tts")[0], "")
        line = sentences(options["text"] or HEARD, voice.language)[0]
        pcm = speak_sentence(chains.synthesizer(voice), line, voice).pcm
        tell("a sentence", f"spoken by {voice.id}", _since(started))
    sound = hearing.wav(pcm)
    started = time.monotonic()
    transcript = recognizer.recognize(sound, language="en-US")
    tell("all of it", f"heard: {transcript.text!r}", _since(started))


def _answer(tell: Tell, name: str, options: dict[str, Any]) -> None:
    question = [Message("user", options["text"] or QUESTION)]

    async def run() -> None:
        model = chains.language_model((name,))
        started, first, text = time.monotonic(), 0.0, ""
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            aclosing(model.stream(question, max_tokens=100)) as pieces,
        ):
            async for piece in pieces:
                if isinstance(piece, str):
                    first = first or _since(started)
                    text += piece
        tell("first word", "", first)
        tell("all of it", f"answered: {text[:120]!r}", _since(started))
        await model.aclose()

    asyncio.run(run())


def _list(tell: Tell, name: str, options: dict[str, Any]) -> None:  # noqa: ARG001 - as the others
    started = time.monotonic()
    told = asyncio.run(listing.asked(name))
    languages = len({voice.language for voice in told})
    tell("all of it", f"{len(told)} voices in {languages} languages", _since(started))


def _copy(tell: Tell, name: str, options: dict[str, Any]) -> None:  # noqa: ARG001 - as the others
    given = dict(accounts.known()[name].cloning)
    tell("adapter", f"{given['adapter']}; not tried: that would make a voice")


def _embed(tell: Tell, name: str, options: dict[str, Any]) -> None:
    embedder = chains.embedder((name,))
    if embedder is None:
        raise CommandError(f"{name} cannot be asked for vectors")
    started = time.monotonic()
    vectors = asyncio.run(_embedded(embedder, options["text"] or QUESTION))
    tell("all of it", f"a vector of {len(vectors[0])} numbers", _since(started))


async def _embedded(embedder: Any, text: str) -> Any:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await embedder.embed([text])


def _since(started: float) -> float:
    return (time.monotonic() - started) * 1000


_CHECKS: dict[Kind, Callable[[Tell, str, dict[str, Any]], None]] = {
    "tts": _speak,
    "stt": _hear,
    "llm": _answer,
    "embedding": _embed,
    "listing": _list,
    "cloning": _copy,
}
