"""The REST API of sessions inside the browser, for pages in states that a real stack passes quickly."""

import json
from typing import Any
from urllib.parse import urlsplit

from tests.browser.fake_api import FakeApi, avatar
from tests.browser.live.fake_session import SESSION, TOKEN

PERSONAS = [
    ("psn_1", "Front desk", "Answers questions about parcels, returns and opening hours.", "en", "joe"),
    ("psn_2", "Museum guide", "Tells about the paintings of the first floor.", "en", None),
    ("psn_3", "案内係", "荷物と営業時間について答えます。", "ja", "gongitsune"),
]
WORDS = [
    ("avatar", "Hello! I am Lena, from the front desk. How can I help you?", 400, 3900, False),
    ("user", "Hi. My parcel came broken. How do I return it?", 5200, 8300, False),
    ("avatar", "I am sorry to hear that. You can return it within", 9100, 11800, True),
    ("user", "Do I have to pay for that?", 11400, 13000, False),
    ("avatar", "No. Broken goods go back at our cost. I will send you a label.", 13900, 18200, False),
]
SOURCES = [
    {"document": "doc_1", "name": "returns.pdf", "page": 12, "passage": 31},
    {"document": "doc_1", "name": "returns.pdf", "page": 3, "passage": 7},
    {"document": "doc_2", "name": "prices.md", "page": None, "passage": 0},
]


class FakeRest(FakeApi):
    """Everything of the Studio's, and sessions with personas, transcripts and recordings."""

    def __init__(
        self, talks: list[dict[str, Any]] | None = None, refuse: dict[str, Any] | None = None
    ) -> None:
        super().__init__(refuse=refuse)
        self.personas = [persona(*row) for row in PERSONAS]
        self.talks = talks if talks is not None else shelf()

    def __call__(self, route: Any) -> None:
        path = urlsplit(route.request.url).path
        if path.endswith("/video"):
            route.fulfill(status=404)
        else:
            super().__call__(route)

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        head, _, rest = path.partition("/")
        if head == "personas":
            return 200, {"results": self.personas, "next": None}
        if head != "sessions":
            return super().answer(method, path, query, body)
        if method == "POST" and not rest:
            if self.refuse:
                return self.refuse["status"], self.refuse
            return 201, {"id": SESSION, "client_token": TOKEN, "join_url": f"/live/{SESSION}#{TOKEN}"}
        if not rest:
            return 200, {"results": self._found(query), "next": None}
        return self._talk(method, *rest.partition("/")[::2])

    def _found(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        statuses = query.get("status", [""])[0]
        text = query.get("search", [""])[0].lower()
        rows = [row for row in self.talks if not statuses or row["status"] in statuses.split(",")]
        return [row for row in rows if text in json.dumps(row).lower()]

    def _talk(self, method: str, talk_id: str, part: str) -> tuple[int, Any]:
        row = next((row for row in self.talks if row["id"] == talk_id), None)
        if row is None:
            return 404, {"status": 404, "code": "session_not_found", "detail": "There is no such session."}
        if method == "DELETE":
            self.talks.remove(row)
            return 204, None
        if part == "transcript":
            return 200, {"session": talk_id, "turns": said() if row["turns"] else []}
        if part == "latency":
            return 200, timed(row)
        if part == "end":
            row |= {"status": "ended", "end_reason": "api_ended", "ended_at": "2026-01-05T10:05:00Z"}
        return 200, row


def persona(ident: str, name: str, description: str, language: str, voice: str | None) -> dict[str, Any]:
    return {
        "id": ident,
        "slug": ident,
        "name": name,
        "description": description,
        "language": language,
        "voice": voice,
        "greeting": "Hello!",
        "shared": True,
    }


def said() -> list[dict[str, Any]]:
    return [
        {
            "turn": number,
            "who": who,
            "text": text,
            "heard_text": text if who == "avatar" else None,
            "start_ms": start,
            "end_ms": end,
            "interrupted": interrupted,
            "utterances": [],
            "sources": SOURCES if number == 5 else [],
        }
        for number, (who, text, start, end, interrupted) in enumerate(WORDS, 1)
    ]


def timed(row: dict[str, Any]) -> dict[str, Any]:
    """Where the time of a conversation went: an answer that nobody asked for, one that was cut, one more."""
    turns = (
        [answered(1, 0, 1), answered(3, 620, 2, interrupted=True), answered(5, 540, 3)]
        if row["turns"]
        else []
    )
    waited = sorted(turn["figures"]["first_audible_ms"] for turn in turns)
    figures = [
        {"name": name, "unit": unit, "source": "server", "n": 3, "median": value, "min": value / 2}
        | {"max": value * 2, "p95": value * 1.5}
        for name, unit, value in (
            ("response_ms", "ms", 1180.0),
            ("llm_first_token_ms", "ms", 140.0),
            ("tts_first_pcm_ms", "ms", 90.5),
            ("render_fps", "fps", 61.4),
            ("a_figure_of_tomorrow", "ms", 12.0),
        )
    ]
    return {
        "session": row["id"],
        "status": row["status"],
        "measured_turns": len(turns),
        "figures": figures if waited else [],
        "turns": turns,
    }


def answered(number: int, listened: int, sentences: int, **facts: Any) -> dict[str, Any]:
    """An avatar's turn of some sentences, asked for when it was listened to."""
    asked, stages = listened + 10 * bool(listened), []
    if listened:
        stages += [stage("endpoint", 0, listened)]
        stages += [stage("asr", 256, listened - 20, provider="local", first_ms=None)]
        stages += [stage("retrieval", asked, asked + 30)]
    written = asked + 30
    stages += [stage("llm", written, written + 420 * sentences, first_ms=written + 160, provider="openai")]
    heard = written + 640
    for piece in range(1, sentences + 1):
        begun, late = written + 420 * (piece - 1), written + 420 * piece
        stages += [stage("llm", begun, late, piece=piece)]
        stages += [stage("tts", late, late + 380, piece=piece, first_ms=late + 90, provider="kokoro")]
        stages += [stage("render", late + 100, late + 520, piece=piece, first_ms=late + 190)]
        stages += [stage("playout", heard, heard + 2400, piece=piece)]
        heard += 2500
    parts = {
        "listening": asked,
        "retrieval": 30,
        "llm": 160,
        "sentence": 260,
        "tts": 90,
        "render": 110,
        "playout": 20,
    }
    return {
        "turn": number,
        "source": "voice" if listened else "say",
        "status": "done",
        "interrupted": False,
        "start_ms": WORDS[number - 1][2],
        "figures": {"first_audible_ms": float(sum(parts.values()) - asked)},
        "waits": [{"name": name, "ms": ms} for name, ms in parts.items() if ms],
        "stages": stages,
        **facts,
    }


def stage(name: str, since: int, until: int, **facts: Any) -> dict[str, Any]:
    known = {key: value for key, value in facts.items() if value is not None}
    return {"name": name, "from_ms": since, "to_ms": until, **known}


def talk(number: int, status: str = "ended", kept: str | None = "ready", **facts: Any) -> dict[str, Any]:
    looks = avatar(number % 4)
    recording = {
        "id": f"rec_{number}",
        "status": kept,
        "layout": "stereo",
        "duration_ms": 184_000,
        "bytes": 9_400_000,
        "width": 512,
        "height": 640,
        "expires_at": "2099-01-01T00:00:00Z",
    }
    return {
        "id": f"ses_{number}",
        "status": status,
        "phase": "idle",
        "position": None,
        "end_reason": "client_ended" if status == "ended" else None,
        "avatar": looks["id"],
        "avatar_name": looks["name"],
        "preview_url": looks["preview_url"],
        "persona": "psn_1",
        "persona_name": "Front desk",
        "voice": "joe",
        "language": "en",
        "record": kept is not None,
        "created_at": "2026-01-05T10:00:00Z",
        "started_at": "2026-01-05T10:00:02Z",
        "ended_at": "2026-01-05T10:03:06Z" if status == "ended" else None,
        "duration_ms": 184_000,
        "turns": 5,
        "recording": recording if kept else None,
        **facts,
    }


def shelf() -> list[dict[str, Any]]:
    """One conversation in each state."""
    return [
        talk(1, "active", "recording"),
        talk(2, kept="assembling"),
        talk(3),
        talk(4, kept=None),
        talk(5, kept="failed", end_reason="host_lost"),
        talk(6, kept=None, started_at=None, duration_ms=None, turns=0, end_reason="connect_timeout"),
    ]
