"""What is measured, as the service itself tells it: a row of the table."""

from typing import Any

import httpx

from project.bench.config import SubjectWishes
from project.bench.errors import BenchError
from project.bench.results import Subject

OWN = "local"  # the backend that draws in workers of ours


def described(http: httpx.Client, wishes: SubjectWishes, avatar: str, *, asked: str) -> Subject:
    """A model on its backend, with an avatar (its id) and what is asked of it ("text", "script of 20 s").

    Raises `BenchError` where the service does not know the model or the avatar.
    """
    model = model_of(http, wishes.model)
    answer = http.get(f"/api/v1/avatars/{avatar}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise BenchError(f"The service has no avatar {avatar!r}: name another, or a picture")
    shown: dict[str, Any] = answer.raise_for_status().json()
    return Subject(
        model=wishes.model,
        backend=model["backend"],
        technique=wishes.technique or model["summary"],
        avatar=shown["name"],
        voice=wishes.voice,
        resolution=f"{shown['width']}x{shown['height']}",
        fps=float(model["profile"]["fps"]),
        chunk_ms=float(model["profile"]["fragment_ms"]),
        input=asked,
        label="own" if model["backend"] == OWN else "external",
        weights="" if model["licence"] == "none needed" else f"(licence of the weights: {model['licence']})",
    )


def model_of(http: httpx.Client, name: str) -> dict[str, Any]:
    """What `GET models` says of one. Raises `BenchError` where nobody knows it."""
    models = http.get("/api/v1/models").raise_for_status().json()
    found = next((one for one in models if one["id"] == name), None)
    if found is None:
        raise BenchError(
            f"The service knows no model {name!r}; there are {', '.join(m['id'] for m in models)}"
        )
    return dict(found)
