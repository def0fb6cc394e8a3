"""Who is talked to in a measurement: an avatar and a persona, made through the API like any customer's."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from project.bench.config import SubjectWishes
from project.bench.errors import BenchError
from project.embedded.stack import ROOT

READY_SECONDS = 300.0
PROMPT = "You are being measured. Answer every question in two short sentences, without lists or markup."


def avatar_of(http: httpx.Client, wishes: SubjectWishes) -> str:
    """The avatar that a file names, else a new one of its picture, ready for its model; returns its id."""
    return wishes.avatar or make_avatar(http, ROOT / wishes.picture, model=wishes.model)


def make_avatar(http: httpx.Client, picture: Path, *, model: str, name: str = "Benchmark") -> str:
    """Upload a portrait and wait until it can speak; returns its id. Raises `BenchError` when it cannot."""
    files = {"image": (picture.name, picture.read_bytes())}
    posted = http.post("/api/v1/avatars", data={"name": name, "model": model}, files=files)
    if posted.is_error:
        raise BenchError(f"No avatar for {model}: {posted.text[:300]}")
    until = time.monotonic() + READY_SECONDS
    while True:
        avatar = http.get(f"/api/v1/avatars/{posted.json()['id']}").raise_for_status().json()
        if avatar["status"] == "ready":
            return str(avatar["id"])
        if avatar["status"] != "preparing" or time.monotonic() > until:
            raise BenchError(f"The avatar for {model} did not become ready: {avatar}")
        time.sleep(0.5)


@contextmanager
def quiet_persona(http: httpx.Client) -> Iterator[str]:
    """Somebody without a greeting, who knows nothing: the language model answers. Gone with the block."""
    body = {"name": "Benchmark", "language": "en", "greeting": "", "knowledge": "", "system_prompt": PROMPT}
    made = http.post("/api/v1/personas", json=body)
    if made.is_error:
        raise BenchError(f"No persona: {made.text[:300]}")
    try:
        yield str(made.json()["id"])
    finally:
        http.delete(f"/api/v1/personas/{made.json()['id']}")


def upload(http: httpx.Client, wav: bytes) -> str:
    """Upload a sound; returns its id. Raises `BenchError` when it is refused."""
    made = http.post("/api/v1/uploads", files={"file": ("sound.wav", wav, "audio/wav")})
    if made.is_error:
        raise BenchError(f"No upload: {made.text[:300]}")
    return str(made.json()["id"])
