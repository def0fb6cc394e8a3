"""A sentence of each voice to listen to, spoken once and kept."""

import hashlib
import tempfile
import time
from pathlib import Path

from django.conf import settings

from generation.clips import narration
from generation.voices import Voice
from project.errors import Unavailable
from storage.s3 import store
from workers.adapters.errors import AdapterError
from workers.rendering.aac import AacEncoder

FOLDER = "voices/"
SPEAK_SECONDS = 20.0
FAILED_SECONDS = 10.0
"""So long a voice that could not be heard is not asked again: somebody may press the button many times."""
MOST_FAILED = 1_000

_failed: dict[str, tuple[float, str, str]] = {}  # by key: until when, and what was wrong


def link(voice: Voice) -> str:
    """Return a link to the voice's sample. Raises `Unavailable` while it cannot be spoken."""
    key = sample_key(voice)
    if store().head(key) is None:
        if (failed := _failed.get(key)) is not None and time.monotonic() < failed[0]:
            raise Unavailable(failed[1], code=failed[2])
        try:
            _keep(key, narration.sample(voice, seconds=SPEAK_SECONDS))
        except AdapterError as error:
            if len(_failed) >= MOST_FAILED:
                _failed.clear()
            _failed[key] = (time.monotonic() + FAILED_SECONDS, str(error), error.code)
            raise Unavailable(str(error), code=error.code) from error
    return store().presign_get(key, settings.PRESIGNED_URL_SECONDS, content_type="audio/mp4")


def sample_key(voice: Voice) -> str:
    """Name the sample by everything that makes it sound as it does."""
    made = f"{voice.id}|{voice.provider}|{voice.provider_voice}|{voice.model}"
    facts = f"{made}|{voice.gain_db}|{voice.sample_text}"
    return f"{FOLDER}{hashlib.sha256(facts.encode()).hexdigest()[:40]}.m4a"


def _keep(key: str, pcm: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="parley-voice-") as folder:
        path = Path(folder) / "sample.m4a"
        with AacEncoder(path) as encoder:
            encoder.push(pcm)
        store().put_file(key, path, "audio/mp4")
