"""A sentence of each voice to listen to, spoken once and kept."""

import hashlib
import tempfile
from pathlib import Path

from django.conf import settings

from generation.clips import narration
from generation.voices import Voice
from project.errors import Unavailable
from storage.s3 import store
from workers.adapters.errors import AdapterError
from workers.rendering.aac import AacEncoder

FOLDER = "voices/"


def link(voice: Voice) -> str:
    """Return a link to the voice's sample. Raises `Unavailable` while it cannot be spoken."""
    key = sample_key(voice)
    if store().head(key) is None:
        try:
            _keep(key, narration.sample(voice))
        except AdapterError as error:
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
