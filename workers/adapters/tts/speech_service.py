"""Speech models that run as a service of one's own: CosyVoice 3, Qwen3-TTS, F5-TTS, IndexTTS, OmniRT.

They answer one call with raw samples or a WAV. One request runs at a time, so the wait for the head of
an answer is the time in their queue, and a connection is given up the moment nobody listens: the model
is busy until then. A failure after the first sound shows only in the body's end.
"""

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from workers.adapters.answers import (
    answered,
    beginning,
    media_type,
    refused,
    sample_rate,
    silent,
    steadily,
    truncated,
)
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.options import made
from workers.adapters.tts.base import PcmChunk, SpeechEvent, SpeechRequest, Streaming
from workers.adapters.tts.decoding import Decoder, decoder_for
from workers.adapters.tts.voice_assets import Prompt, assets
from workers.adapters.tts.within import within

MODES = ("", "zero_shot", "cross_lingual", "instruct")
DEFAULT = "default"
UNWELL = frozenset({"error", "failed", "disabled", "loading", "starting", "unavailable", "unhealthy"})
EMOTIONS = 8
LIVELIEST = 1.5
_LETTER = re.compile(r"\w")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
FASTEST_SECONDS, FASTEST_WIDE_SECONDS = 0.018, 0.06
"""Nobody says a letter, or a syllable of Chinese, in less at an ordinary speed."""
JUDGED_FROM_SECONDS = 0.6


@dataclass(frozen=True, slots=True)
class ServiceDialect:
    """How one service differs from the next.

    `path` is the call and `health_path` tells whether the model is loaded. `urls` maps models to
    services of their own, which replace the address. `sample_rate` is asked for where it is not 0;
    `default_sample_rate` counts where no header tells. `mode`, `instruction`, `prompt_audio` (a path on
    the service's machine) and `prompt_text` go along where they are set; so does `tuning`, which holds
    what the model has further. `emotion` is an emotion vector of eight, its weight `emotion_weight`.
    `speed_field` names the service's field of the speed, if it has one.

    `assets` is a folder of voices that this process and the service share, `service_assets` the
    same folder as the service sees it (both: the installation's where empty); prompts of voices found
    there are sent along where the service has a `prompt_audio_field`. `queue_seconds` is how long to
    wait for one's turn and the first sound, `deadlines.read` for each next one. The voice `default` is
    the service's own.
    """

    provider: str = "speech_service"
    model: str = ""
    path: str = "synthesize"
    health_path: str = "health"
    urls: Mapping[str, str] = field(default_factory=dict)
    sample_rate: int = 0
    default_sample_rate: int = 16_000
    mode: str = ""
    instruction: str = ""
    prompt_audio: str = ""
    prompt_text: str = ""
    prompt_audio_field: str = "prompt_audio"
    prompt_text_field: str = "prompt_text"
    speaker_field: str = ""
    emotion: tuple[float, ...] = ()
    emotion_weight: float = 0.6
    tuning: Mapping[str, Any] = field(default_factory=dict)
    speed_field: str = ""
    assets: str = ""
    service_assets: str = ""
    most_characters: int = 1000
    queue_seconds: float = 120.0
    deadlines: Deadlines = field(default_factory=lambda: Deadlines(read=30.0))

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES[1:])}")
        if self.emotion and (len(self.emotion) != EMOTIONS or not 0 <= sum(self.emotion) <= LIVELIEST):
            raise ValueError(f"emotion is {EMOTIONS} numbers that sum to {LIVELIEST} at most")


class SpeechService(Streaming):
    """A synthesizer over HTTP; holds no state, so threads may share it."""

    def __init__(self, endpoint: Endpoint, dialect: ServiceDialect) -> None:
        self.provider = dialect.provider
        url = dialect.urls.get(dialect.model, "")
        self._endpoint = Endpoint(url, endpoint.api_key) if url else endpoint
        self._dialect = dialect
        self._assets = assets(dialect.assets, dialect.service_assets)

    async def once(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """One attempt; see `Streaming`."""
        dialect = self._dialect
        waiting = Deadlines(
            dialect.deadlines.connect,
            max(dialect.queue_seconds, dialect.deadlines.read),
            dialect.deadlines.pool,
        )
        for text in within(request.text, dialect.most_characters):
            seconds = 0.0
            async with answered(
                self._endpoint,
                dialect.path,
                provider=self.provider,
                deadlines=waiting,
                json=self._body(request, text),
            ) as response:
                decoder = await self._decoder(response)
                async for data in steadily(response, dialect.deadlines.read, self.provider):
                    for event in decoder.feed(data):
                        seconds += _seconds(event)
                        yield event
                for event in decoder.finish():
                    seconds += _seconds(event)
                    yield event
            if not seconds:
                raise silent(self.provider)
            if seconds < shortest_seconds(text, request.speed):
                raise truncated(self.provider)

    async def check(self) -> None:
        """Whether the service can speak now; `AdapterError` says why not.

        Such services call themselves well while no model is in their memory: `provider_busy` then.
        """
        async with answered(
            self._endpoint,
            self._dialect.health_path,
            provider=self.provider,
            deadlines=self._dialect.deadlines,
            method="GET",
        ) as response:
            await response.aread()
            try:
                health = response.json()
            except ValueError:
                health = None
        if not isinstance(health, dict) or not _loaded(health):
            raise AdapterError(
                "The speech service has no model loaded yet.",
                provider=self.provider,
                retryable=True,
                code="provider_busy",
            )

    def _body(self, request: SpeechRequest, text: str) -> dict[str, Any]:
        dialect, own = self._dialect, request.voice == DEFAULT
        found = self._assets.prompt(request.voice) if self._assets and dialect.prompt_audio_field else None
        prompt = found or Prompt(dialect.prompt_audio, dialect.prompt_text)
        mode = dialect.mode
        if found and not found.text and mode == "zero_shot":
            mode = "cross_lingual"  # without the words of the prompt, only its sound can be followed
        fields: dict[str, Any] = {
            "voice": "" if own else request.voice,
            "model": dialect.model,
            "sample_rate": dialect.sample_rate,
            "mode": mode,
            "instruction": dialect.instruction,
        }
        if dialect.prompt_audio_field:
            fields |= {dialect.prompt_audio_field: prompt.audio, dialect.prompt_text_field: prompt.text}
        if dialect.speaker_field and not own and found is None:
            fields[dialect.speaker_field] = request.voice
        if dialect.emotion:
            fields |= {"emo_vector": list(dialect.emotion), "emo_alpha": dialect.emotion_weight}
        if dialect.speed_field and request.speed != 1.0:
            fields[dialect.speed_field] = request.speed
        return {"text": text, **{name: value for name, value in fields.items() if value}, **dialect.tuning}

    async def _decoder(self, response: httpx.Response) -> Decoder:
        kind = media_type(response)
        if kind == "application/json":  # an error that calls itself a success
            raise refused(self.provider, response, await beginning(response))
        return decoder_for(
            kind, "pcm", sample_rate(response, self._dialect.default_sample_rate), self.provider
        )


def shortest_seconds(text: str, speed: float) -> float:
    """Less sound than this cannot be all of a text; 0 for texts too short to judge."""
    wide = len(_WIDE.findall(text))
    letters = len(_LETTER.findall(text)) - wide
    seconds = letters * FASTEST_SECONDS + wide * FASTEST_WIDE_SECONDS
    return seconds / max(speed, 1.0) if seconds >= JUDGED_FROM_SECONDS else 0.0


def _loaded(health: Mapping[str, Any]) -> bool:
    """`loaded` is true, or names what is; a service without that field is believed unless it is unwell."""
    if not health.get("loaded", health.get("ready", True)):
        return False
    return str(health.get("status", "ok")).lower() not in UNWELL


def _seconds(event: SpeechEvent) -> float:
    return len(event.pcm) / 2 / event.sample_rate if isinstance(event, PcmChunk) else 0.0


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> SpeechService:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    given = dict(options)
    given["emotion"] = tuple(given.get("emotion", ()))
    return SpeechService(endpoint, made(ServiceDialect, given))
