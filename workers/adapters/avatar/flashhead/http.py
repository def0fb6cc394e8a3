"""FlashHead behind an HTTP service: a piece of sound goes there, a film comes back.

Files travel through a folder that both sides see, or inside the request where none is configured. With
a service that keeps sessions (`manage.py flashhead_service`) each film goes on where the last one ended,
and passes into the clip or the conversation as it is. Others begin every film at the portrait: there the
films are blended into each other, and the stream's `seams` tell where.
"""

from __future__ import annotations

import base64
import io
import json
import secrets
import time
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from workers.adapters.avatar import film
from workers.adapters.avatar.base import (
    FPS,
    I420,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    AudioWindow,
    Background,
    Pcm,
    StatefulRenderer,
)
from workers.adapters.avatar.flashhead import places
from workers.adapters.avatar.flashhead.client import Answer, Busy, Service
from workers.adapters.avatar.flashhead.places import Exchange, Places
from workers.adapters.avatar.flashhead.portrait import PROVIDER, Fader, Person, Pose
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.remote.faults import fault
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.errors import AdapterError

AGAIN_SECONDS = 0.25
MOST_SECONDS = 3600
PICTURE = "reference.png"


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """`options` of the backend `http` in `configs/models/flashhead.yaml`."""

    model: str = "soulx-flashhead-1.3b"
    preset: str = "balanced"
    config: str = ""
    """More for the request's `config`: a JSON object."""
    shared_dir: str = ""
    """A folder that the service sees too; empty: pictures and sound travel inside the request."""
    shared_service_dir: str = ""
    """What the service calls that folder; empty: the same."""
    output_dir: str = ""
    """Where this process sees the folder into which the service writes its films."""
    output_service_dir: str = ""
    output_url: str = ""
    """The address below which films may be fetched; empty: below the service's own."""
    timeout_seconds: float = 600.0
    live_timeout_seconds: float = 30.0
    busy_seconds: float = 30.0
    """So long a clip waits for a service that is busy."""
    live_busy_seconds: float = 2.0
    crossfade_frames: int = 6
    watch_scene: bool = True
    """Whether the person in a film is compared with the portrait."""

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> HttpOptions:
        """Raises `ValueError` naming the field that is wrong."""
        kinds = {item.name: type(item.default) for item in fields(cls)}
        for name, value in options.items():
            kind = kinds.get(name)
            if kind is None:
                raise ValueError(f"flashhead: options.{name} is unknown")
            if not isinstance(value, (int, float) if kind is float else kind):
                raise ValueError(f"flashhead: options.{name} is no {kind.__name__}")  # noqa: TRY004
        made = cls(**options)
        made.more()
        made._check_numbers()
        return made

    def _check_numbers(self) -> None:
        """Nothing is waited for without an end, or not at all."""
        for name in ("timeout_seconds", "live_timeout_seconds"):
            if not 0 < getattr(self, name) <= MOST_SECONDS:
                raise ValueError(f"flashhead: options.{name} is between 0 and {MOST_SECONDS}")
        for name in ("busy_seconds", "live_busy_seconds"):
            if not 0 <= getattr(self, name) <= MOST_SECONDS:
                raise ValueError(f"flashhead: options.{name} is at most {MOST_SECONDS}, and not negative")
        if not 0 <= self.crossfade_frames <= FPS:
            raise ValueError(f"flashhead: options.crossfade_frames is at most {FPS}, and not negative")

    def more(self) -> dict[str, Any]:
        """What `config` adds. Raises `ValueError`."""
        try:
            told = json.loads(self.config or "{}")
        except ValueError as error:
            raise ValueError("FLASHHEAD_CONFIG is no JSON") from error
        if not isinstance(told, dict):
            raise ValueError("FLASHHEAD_CONFIG is no JSON object")  # noqa: TRY004
        return told


@dataclass(frozen=True, slots=True)
class Film:
    """A window's film; `grown_from` is the one before, where this one does not continue it."""

    window: AudioWindow
    data: bytes
    grown_from: bytes = b""
    frames_before: int = 0


@dataclass(slots=True)
class HttpStream:
    """One person speaking. Not thread-safe.

    `seams` are the frames before which continuity was lost, numbered as in the avatar's motion.
    """

    person: Person
    fader: Fader
    name: str = field(default_factory=lambda: f"parley-{secrets.token_hex(8)}")
    exchange: Exchange | None = None
    picture: str = ""  # what the service calls the portrait's file
    seams: list[int] = field(default_factory=list)
    number: int = 0
    next_frame: int | None = None  # None where nothing is known of where the service stands
    film: Film | None = None
    pictures: Iterator[I420] | None = None


class FlashHeadHttp(StatefulRenderer):
    """Draws at the service that the model's configuration names."""

    def __init__(self, config: ModelConfig, runtime: Runtime) -> None:
        self.profile = config.profile
        self._options = options = HttpOptions.read(config.options)
        self._service = Service(runtime.endpoint, PROVIDER)
        self._places = Places(
            shared_local=options.shared_dir,
            shared_remote=options.shared_service_dir,
            output_local=options.output_dir,
            output_remote=options.output_service_dir or options.output_dir,
            base_url=options.output_url or runtime.endpoint.base_url,
        )

    def warm(self) -> None:
        """Ask whether anybody listens. Raises `AdapterError` (`model_unreachable`)."""
        self._service.reach()

    def load(self, bundle: bytes) -> Person:
        return Person.of(bundle)

    def open_stream(
        self, avatar: Person, *, start_frame: int = 0, background: Background | None = None
    ) -> HttpStream:
        """Nothing is asked of the service before the first window."""
        return HttpStream(avatar, Fader(avatar, self._options.crossfade_frames))

    def encoded(self, stream: HttpStream, window: AudioWindow) -> bytes | None:
        """The service's film, unless its pictures have to be blended with others."""
        made = self._film(stream, window)
        return None if made.grown_from or stream.fader.needed(window) else made.data

    def extract_features(self, stream: HttpStream, window: AudioWindow) -> Sequence[Pose]:
        """Have the film made, unless that was done already."""
        made = self._film(stream, window)
        before = self._last_of(stream, made) if made.grown_from else None
        stream.pictures = self._pictures(stream.person, made.data, window.frames)
        return stream.fader.begin(window, before)

    def infer(self, stream: HttpStream, features: Sequence[Pose]) -> Sequence[Pose]:
        return features

    def compose_frame(self, stream: HttpStream, pose: Pose) -> I420:
        if stream.pictures is None:
            raise RuntimeError("a pose of no window")
        picture = stream.fader(next(stream.pictures), pose)
        if stream.film is not None and pose.place == stream.film.window.frames - 1:
            next(stream.pictures, None)  # a film that goes on for long is another one
        return picture

    def reset(self, stream: HttpStream) -> None:
        """The next film begins at the portrait."""
        stream.next_frame, stream.film, stream.pictures = None, None, None

    def close_stream(self, stream: HttpStream) -> None:
        self.reset(stream)
        if stream.exchange is not None:
            stream.exchange.close()
            stream.exchange = None

    def _film(self, stream: HttpStream, window: AudioWindow) -> Film:
        """Have the window's film made, once."""
        if stream.film is not None and stream.film.window is window:
            return stream.film
        before, continues = stream.film, not window.first and stream.next_frame == window.start_frame
        stream.next_frame = None
        answer = self._generate(stream, window, continues=continues)
        data = self._fetched(answer)
        self._examine(stream.person, data, window.frames)
        stream.film = Film(window, data)
        if before is not None and not window.first and not (continues and answer.continued):
            stream.seams.append(window.start_frame)
            stream.film = Film(window, data, before.data, before.window.frames)
        stream.next_frame = window.start_frame + window.frames
        return stream.film

    def _generate(self, stream: HttpStream, window: AudioWindow, *, continues: bool) -> Answer:
        options = self._options
        seconds = options.live_timeout_seconds if window.live else options.timeout_seconds
        patience = options.live_busy_seconds if window.live else options.busy_seconds
        stream.number += 1
        sound = f"chunk_{stream.number:08d}.wav"
        body = {
            "task": "audio2video",
            "model": options.model,
            "inputs": self._inputs(stream, sound, _wav(_heard(window))),
        }
        config = {"preset": options.preset, "fps": FPS, **options.more()}
        config |= {"session": stream.name, "continues": continues, "live": window.live}
        try:
            return self._patient(body, config, seconds, patience)
        finally:
            if stream.exchange is not None:
                stream.exchange.drop(sound)

    def _patient(
        self, body: Mapping[str, Any], config: Mapping[str, Any], seconds: float, patience: float
    ) -> Answer:
        """Ask again while the service is busy, for as long as that makes sense."""
        until = time.monotonic() + patience
        while True:
            try:
                answer = self._service.generate(body, config, seconds)
            except Busy as busy:
                pause = busy.retry_after or AGAIN_SECONDS
                if time.monotonic() + pause > until:
                    raise
                time.sleep(pause)
            else:
                self._check_slice(answer)
                return answer

    def _check_slice(self, answer: Answer) -> None:
        drawn, wanted = answer.slice_frames, self.profile.chunk_frames
        if drawn and drawn != wanted:
            message = f"The service draws {drawn} frames at a time, not {wanted}: set FLASHHEAD_CHUNK_FRAMES."
            raise fault("model_profile_mismatch", message, PROVIDER)

    def _inputs(self, stream: HttpStream, sound: str, wav: bytes) -> dict[str, str]:
        if not self._places.shared_local:
            return {"image_b64": _text(stream.person.file), "audio_b64": _text(wav)}
        try:
            if stream.exchange is None:
                stream.exchange = Exchange(self._places)
                stream.picture = stream.exchange.put(PICTURE, stream.person.file)
            return {"image": stream.picture, "audio": stream.exchange.put(sound, wav)}
        except OSError as error:
            message = f"The folder that is shared with the service cannot be written ({error.strerror})."
            raise fault("model_rejected", message, PROVIDER) from error

    def _fetched(self, answer: Answer) -> bytes:
        """The film, from the first place that it is said to be at and where we may look."""
        for name in answer.names:
            found = self._places.find(name)
            if isinstance(found, Path) and places.is_file(found):
                return places.read(found, PROVIDER)
            if isinstance(found, places.Address):
                return self._service.fetch(found)
        raise fault(
            "model_error",
            "The service's film is in none of the places that may be read (FLASHHEAD_OUTPUT_DIR, "
            "FLASHHEAD_SHARED_DIR, FLASHHEAD_OUTPUT_URL).",
            PROVIDER,
        )

    def _examine(self, person: Person, data: bytes, frames: int) -> None:
        """Look at the first picture, whatever happens to the film. Raises `AdapterError`."""
        picture = next(self._pictures(person, data, frames))
        if self._options.watch_scene:
            person.check(picture)

    def _pictures(self, person: Person, data: bytes, frames: int) -> Iterator[I420]:
        limits = film.Limits(frames, person.width, person.height)
        return film.pictures(data, limits, provider=PROVIDER)

    def _last_of(self, stream: HttpStream, made: Film) -> I420:
        """The last picture of the film before."""
        *_, last = self._pictures(stream.person, made.grown_from, made.frames_before)
        return last


def make(config: ModelConfig, runtime: Runtime) -> FlashHeadHttp:
    """Raises `AdapterError` (`model_rejected`) where a setting or the model's file says nonsense."""
    try:
        return FlashHeadHttp(config, runtime)
    except ValueError as error:
        raise AdapterError(str(error), provider=PROVIDER, retryable=False, code="model_rejected") from error


def _heard(window: AudioWindow) -> Pcm:
    """The sound of the window's own frames."""
    return window.pcm[window.lookback : window.lookback + window.frames * SAMPLES_PER_FRAME]


def _wav(sound: Pcm) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(sound.astype("<i2").tobytes())
    return out.getvalue()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
