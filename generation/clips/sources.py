"""Where the sound of a clip comes from: a voice that reads the script, or a recording."""

import tempfile
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings

from generation import voices
from generation.clips import narration, tracing
from generation.clips.models import Clip
from generation.clips.narration import Sentence, Utterance
from generation.clips.outcome import ClipFailure
from generation.clips.plan import TIMELINE_RATE
from project import context
from project.api import net
from project.errors import InvalidInput
from storage.s3 import store
from workers.rendering.audio import decode_audio
from workers.rendering.errors import MediaError

LEAD_MS = 200  # a face that looks at you before it speaks, and closes its mouth when it is done
TAIL_MS = 400
RECORDING_PIECE_BYTES = 10 * TIMELINE_RATE * 2
FETCH_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Take:
    """One utterance's sound (48 kHz mono s16le), and the silence around it."""

    text: str
    pcm: bytes
    lead_samples: int = 0
    pause_samples: int = 0
    timings: dict[str, Any] = field(default_factory=dict)


def takes(clip: Clip, done: int, *, skip_samples: int) -> Generator[Take, None, None]:
    """Yield what follows the first `done` utterances, which fill `skip_samples` of the timeline."""
    if clip.script:
        yield from _read(clip, done)
    elif clip.audio_url:
        yield from _fetched(clip.audio_url, skip_samples * 2)
    elif clip.upload is not None:
        yield from _uploaded(clip.upload.pcm_key, skip_samples * 2)
    else:
        raise ClipFailure("upload_expired", "The uploaded sound of this clip does not exist any more.")


def _read(clip: Clip, done: int) -> Generator[Take, None, None]:
    """Speak line by line; the next line is synthesised while its forerunner is stored."""
    voice = voices.kept(clip.voice)
    if voice is None:
        raise ClipFailure("voice_not_found", f"There is no voice {clip.voice!r} any more.")
    lines = narration.lines(clip.script, voice)
    with ThreadPoolExecutor(1, thread_name_prefix="voice") as ahead:
        waiting: Future[Take] | None = None
        say = partial(narration.say, voice=voice, speed=clip.speed, wanted=clip.providers.get("tts", ()))
        for index in range(done, len(lines)):
            current = waiting or ahead.submit(context.carried(_take), lines, index, say)
            waiting = None
            take = current.result()
            if index + 1 < len(lines):
                waiting = ahead.submit(context.carried(_take), lines, index + 1, say)
            yield take


def _take(lines: list[Sentence], index: int, say: Callable[[Sentence], Utterance]) -> Take:
    with tracing.part("synthesis", utterance=index, characters=len(lines[index].text)) as part:
        said = say(lines[index])
        part.set(provider=said.provider or None)
    timings = {
        "phones": [[phone.symbol, phone.start_ms, phone.end_ms] for phone in said.phones],
        "words": [[word.text, word.start_ms, word.end_ms] for word in said.words],
    }
    return Take(
        said.text,
        said.pcm,
        lead_samples=0 if index else _samples(LEAD_MS),
        pause_samples=0 if index + 1 < len(lines) else _samples(TAIL_MS),
        timings=timings,
    )


def _samples(milliseconds: int) -> int:
    return milliseconds * TIMELINE_RATE // 1000


def _uploaded(pcm_key: str, skip: int) -> Generator[Take, None, None]:
    """Read a decoded upload piece by piece."""
    found = store().head(pcm_key)
    if found is None:
        raise ClipFailure("upload_expired", "The uploaded sound of this clip does not exist any more.")
    for start in range(skip, found.size, RECORDING_PIECE_BYTES):
        length = min(RECORDING_PIECE_BYTES, found.size - start)
        with store().open_range(pcm_key, start, length) as body:
            yield Take("", body.read())


def _fetched(url: str, skip: int) -> Generator[Take, None, None]:
    """Fetch a recording into a file, and decode it piece by piece."""
    with tempfile.TemporaryDirectory(prefix="parley-fetch-") as folder:
        path = Path(folder) / "recording"
        try:
            with path.open("wb") as file:
                net.safe_download(url, file, max_bytes=settings.MAX_AUDIO_BYTES, timeout=FETCH_SECONDS)
            _, pieces = decode_audio(
                path, max_seconds=settings.MAX_CLIP_SECONDS, max_bytes=settings.MAX_AUDIO_BYTES
            )
            for number, pcm in enumerate(_cut(pieces)):
                if number * RECORDING_PIECE_BYTES >= skip:
                    yield Take("", pcm)
        except (InvalidInput, MediaError) as error:
            raise ClipFailure(error.code, str(error)) from error


def _cut(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Gather pieces of any length into equal ones."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        while len(gathered) >= RECORDING_PIECE_BYTES:
            yield bytes(gathered[:RECORDING_PIECE_BYTES])
            del gathered[:RECORDING_PIECE_BYTES]
    if gathered:
        yield bytes(gathered)
