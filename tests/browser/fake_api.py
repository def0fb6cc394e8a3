"""A REST API inside the browser, for looking at pages in states that a real stack passes quickly.

It answers the calls of the Studio with the shapes of the contract and keeps clips in memory; the
tests of the whole flow run on the real stack instead.
"""

import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

FACE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 500">'
    '<rect width="400" height="500" fill="{wall}"/>'
    '<path d="M60 500c0-110 60-150 140-150s140 40 140 150Z" fill="{shirt}"/>'
    '<ellipse cx="200" cy="210" rx="92" ry="118" fill="{skin}"/><circle cx="166" cy="205" r="9"/>'
    '<circle cx="234" cy="205" r="9"/><path d="M165 268q35 22 70 0" fill="none" stroke="#8d3b35"/></svg>'
)
LOOKS = [
    ("Lena", "Warm and clear", {"wall": "#d9e3dd", "shirt": "#33564d", "skin": "#e6b48f"}),
    ("Martin", "Calm, for explanations", {"wall": "#dfe2ea", "shirt": "#3a4568", "skin": "#d59f78"}),
    ("Amara", "Lively presenter", {"wall": "#efe3d3", "shirt": "#a5562f", "skin": "#8d5b3e"}),
    ("Koji", "Drawn, friendly", {"wall": "#e5dcea", "shirt": "#58406f", "skin": "#f0c9a4"}),
]
VOICES = [
    ("joe", "Joe", "en-US"),
    ("gongitsune-en", "Gongitsune", "en-US"),
    ("gongitsune", "Gongitsune", "ja-JP"),
    ("kumo", "Kumo", "ja-JP"),
]
ALL_OVER = {"succeeded", "failed", "canceled"}


@dataclass
class FakeApi:
    """Installed on a Playwright page with `page.route("**/api/v1/**", fake)`."""

    clips: list[dict[str, Any]] = field(default_factory=list)
    refuse: dict[str, Any] | None = None
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    avatars: list[dict[str, Any]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    _numbers: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.avatars = self.avatars or [avatar(index) for index in range(len(LOOKS))]

    def __call__(self, route: Any) -> None:
        request = route.request
        parts = urlsplit(request.url)
        path = parts.path.removeprefix("/api/v1/")
        body = None
        if request.post_data and "json" in request.headers.get("content-type", ""):
            body = json.loads(request.post_data)
        self.calls.append((request.method, path, body))
        status, answer = self.answer(request.method, path, parse_qs(parts.query), body)
        kind = "application/problem+json" if status >= 400 else "application/json"
        route.fulfill(status=status, body=json.dumps(answer), content_type=kind)

    def answer(  # noqa: PLR0911 - one line for each call
        self, method: str, path: str, query: dict[str, list[str]], body: Any
    ) -> tuple[int, Any]:
        if method == "POST" and self.refuse and path == "clips":
            return self.refuse["status"], self.refuse
        match method, path:
            case "GET", "avatars":
                return 200, {"results": self.avatars, "next": None}
            case "GET", "voices":
                rows = [{"id": i, "provider": "local", "name": n, "language": lang} for i, n, lang in VOICES]
                return 200, rows
            case "GET", "models":
                return 200, self.models
            case "POST", "clips/estimate":
                return 200, {"duration_ms": len(body["script"]) * 65}
            case "POST", "clips":
                made = clip(
                    next(self._numbers), status="queued", script=body.get("script"), avatar=body["avatar"]
                )
                self.clips.insert(0, made)
                return 202, made
            case "GET", "clips":
                return 200, {"results": self.found(query), "next": None}
        if match := re.fullmatch(r"clips/([^/]+)(/cancel)?", path):
            return self._one(method, match[1])
        return 404, {"status": 404, "code": "not_found", "detail": "There is no such thing."}

    def found(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        rows = self.clips
        if "ids" in query:
            return [row for row in rows if row["id"] in query["ids"][0].split(",")]
        if "status" in query:
            rows = [row for row in rows if row["status"] in query["status"][0].split(",")]
        if "search" in query:
            rows = [row for row in rows if query["search"][0].lower() in (row["script"] or "").lower()]
        return rows

    def _one(self, method: str, clip_id: str) -> tuple[int, Any]:
        row = next((row for row in self.clips if row["id"] == clip_id), None)
        if row is None:
            return 404, {"status": 404, "code": "not_found", "detail": "There is no such clip."}
        if method == "DELETE":
            self.clips.remove(row)
            return 204, None
        if method == "POST":
            row["status"] = "canceled"
        return 200, row


def avatar(index: int) -> dict[str, Any]:
    name, description, colours = LOOKS[index]
    picture = FACE.format(**colours).replace("#", "%23").replace('"', "'")
    return {
        "id": f"avt_{index}",
        "slug": name.lower(),
        "name": name,
        "description": description,
        "status": "ready",
        "progress": 100,
        "failure": None,
        "models": ["viseme"],
        "default_voice": VOICES[index % 2][0],
        "preview_url": f"data:image/svg+xml,{picture}",
        "idle_url": None,
        "width": 512,
        "height": 640,
        "fps": 25,
        "has_alpha": index == 3,
    }


def clip(number: int, *, status: str, script: str | None, **facts: Any) -> dict[str, Any]:
    done = status == "succeeded"
    result = {
        "video_url": "/static/nothing.mp4",
        "poster_url": None,
        "srt_url": "/static/nothing.srt",
        "vtt_url": "/static/nothing.vtt",
        "duration_ms": 42_000,
        "width": 512,
        "height": 640,
        "fps": 25,
        "bytes": 3_100_000,
        "expires_at": "2099-01-01T00:00:00Z",
    }
    return {
        "id": f"clip_{number}",
        "status": status,
        "stage": "rendering" if status == "running" else None,
        "progress": 100 if status in ALL_OVER else 46 if status == "running" else 0,
        "fragments": {"total": 14, "done": 6} if status == "running" else {"total": None, "done": 0},
        "avatar": "avt_0",
        "voice": "joe",
        "model": "viseme",
        "script": script,
        "speed": 1.0,
        "aspect_ratio": None,
        "captions": "sidecar",
        "created_at": "2026-01-05T10:00:00Z",
        "failure": None,
        "result": result if done else None,
        "preview_url": None,
        "metadata": {},
        **facts,
    }


def library() -> list[dict[str, Any]]:
    """One clip in each state."""
    failure = {"code": "provider_error", "message": "The voice could not be made."}
    return [
        clip(101, status="running", script="Welcome to our spring newsletter. Three things are new."),
        clip(102, status="succeeded", script="Your parcel left our warehouse this morning.", avatar="avt_1"),
        clip(103, status="succeeded", script="مرحبا بكم في خدمتنا الجديدة", avatar="avt_2"),
        clip(104, status="failed", script="Please hold the line.", avatar="avt_3", failure=failure),
        clip(105, status="canceled", script="A draft that nobody needed.", avatar="avt_1"),
    ]
