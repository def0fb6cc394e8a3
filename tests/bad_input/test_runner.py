"""Each check sees what it is there to see."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serving
from websockets.exceptions import ConnectionClosedError

from tests.bad_input import explore, frames, media, rest, sockets, target
from tests.bad_input.explore import Broken
from tests.bad_input.findings import Finding, Findings
from tests.bad_input.sockets import Line

PROBLEM = {"status": 404, "code": "not_found", "title": "Not Found", "type": "x"}


def test_the_smallest_input_that_breaks_a_rule_is_told() -> None:
    told: list[tuple[int, str]] = []

    def rule(number: int) -> None:
        if number > 90:
            raise Broken("too large")

    explore.explore(
        st.integers(0, 1_000),
        rule,
        lambda number, what: told.append((number, what)),
        first_seed=1,
        examples=100,
    )
    assert told == [(91, "too large")]


def test_a_rule_that_holds_is_tried_as_often_as_asked() -> None:
    tried: list[int] = []
    explore.explore(st.integers(), tried.append, lambda *_: None, first_seed=1, examples=250)
    assert len(tried) >= 250


def test_a_finding_is_kept_with_its_case_and_only_three_alike(tmp_path: Path) -> None:
    findings = Findings(tmp_path)
    for number in range(9):
        findings.add(Finding("media", "uploads", f"answered 50{number}", {"data": "00"}))
    assert len(findings.all) == len(list(tmp_path.iterdir())) == 3
    kept = json.loads(min(tmp_path.iterdir()).read_text())
    assert (kept["what"], kept["case"]) == ("answered 500", {"data": "00"})


def test_tracebacks_are_found_in_a_log() -> None:
    trace = 'Traceback (most recent call last):\n  File "x", line 1, in y\n    z()\nValueError: no'
    log = f"INFO fine\n{trace}\nINFO on\n"
    assert target.tracebacks(log) == [trace]
    assert target.tracebacks("INFO fine\n") == []


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [(500, "{}", "application/json"), (400, "<p>", "text/html"), (404, "{}", "application/problem+json")],
)
def test_a_bad_answer_to_a_file_is_seen(status: int, body: str, kind: str) -> None:
    answer = httpx.Response(status, text=body, headers={"content-type": kind})
    with pytest.raises(Broken):
        media.refuse_or_take(lambda *_: answer, "uploads", "a.wav", b"")


def test_a_refusal_that_says_why_is_right() -> None:
    answer = httpx.Response(404, json=PROBLEM, headers={"content-type": "application/problem+json"})
    media.refuse_or_take(lambda *_: answer, "uploads", "a.wav", b"")


@pytest.mark.parametrize(
    ("event", "what"),
    [
        ({"type": "error", "code": "internal_error", "detail": "x"}, "internal_error"),
        ({"type": "error", "code": "made_up_by_nobody_at_all", "detail": "x"}, "made_up"),
        ({"type": "error", "code": "unknown_message", "detail": ""}, "says nothing"),
        ({"type": "session.ended", "reason": "failed"}, "ended"),
        ({"no": "type"}, "without a type"),
    ],
)
async def test_a_bad_event_is_seen(event: dict[str, Any], what: str) -> None:
    async with Line("http://localhost", "key", "avatar") as line:
        with pytest.raises(Broken, match=what):
            line._event(json.dumps(event))


@pytest.mark.parametrize("code", [1006, 1011, 4503])
async def test_a_socket_that_breaks_is_seen(code: int) -> None:
    async with Line("http://localhost", "key", "avatar") as line:
        with pytest.raises(Broken, match=str(code)):
            line._closed(code)


@pytest.mark.parametrize(
    "answer", [httpx.ReadTimeout("slow"), httpx.Response(503), httpx.Response(200, text="<p>")]
)
def test_a_file_that_cannot_be_looked_at_any_more_is_a_finding(answer: httpx.Response | Exception) -> None:
    def service(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    findings = Findings()
    with httpx.Client(base_url="http://service", transport=httpx.MockTransport(service)) as client:
        media.Doors(client, client, "per_1", [(client, "/api/v1/avatars/avt_1")]).settle(findings)
    assert [finding.where for finding in findings.all] == ["/api/v1/avatars"]


# --- Frames, against a service that answers, or not -----------------------------------------------


@pytest.mark.parametrize(("deaf", "told"), [(False, []), (True, ["the session does not answer any more"])])
async def test_a_session_that_a_frame_made_deaf_is_seen(
    deaf: bool, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "SECONDS", 0.3)
    monkeypatch.setattr(frames, "HANDSHAKES", {})
    monkeypatch.setattr(frames, "FRAMES", {"no mask": frames.FRAMES["no mask"]})
    broken: set[str] = set()

    async def serve(socket: ServerConnection) -> None:
        assert socket.request is not None
        try:
            async for _ in socket:
                if socket.request.path not in broken:
                    await socket.send('{"type": "pong"}')
        except ConnectionClosedError as error:
            if deaf and error.sent is not None and error.sent.code == 1002:  # by our frame
                broken.add(socket.request.path)

    class Service(Line):
        async def _begin(self) -> None:
            self.began = getattr(self, "began", 0) + 1
            url = f"ws://127.0.0.1:{port}/{self.began}"
            self.session = {"id": str(self.began), "ws_url": url, "client_token": "t"}

    findings = Findings()
    async with serving(serve, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with Service("http://127.0.0.1:1", "key", "avatar") as line:
            await frames.run(line, findings, seed=1, examples=0)
    assert [finding.what for finding in findings.all] == told
    assert findings.tried[frames.PART] == 1


async def test_a_service_that_is_gone_is_a_finding_and_no_crash() -> None:
    async with Line("http://127.0.0.1:1", "key", "avatar") as line:
        with pytest.raises(Broken, match="ConnectError"):
            await line.join()
        line.session = {"id": "1", "ws_url": "ws://127.0.0.1:1/", "client_token": "t"}
        with pytest.raises(Broken, match="does not open"):
            await line.join()


# --- REST, against a service that is wrong --------------------------------------------------------

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Wrong", "version": "1"},
    "paths": {
        f"/{name}": {
            "get": {
                "responses": {
                    "200": {"description": "x", "content": {"application/json": {}}},
                    "default": {"description": "x"},
                }
            }
        }
        for name in ("right", "breaks", "page")
    },
}


class Wrong(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answers: dict[str, tuple[int, str, Any]] = {
            "/api/schema/": (200, "application/json", DOCUMENT),
            "/right": (200, "application/json", {}),
            "/breaks": (500, "application/problem+json", {**PROBLEM, "status": 500}),
            "/page": (404, "text/html", "lost"),
        }
        status, kind, body = answers[self.path.partition("?")[0]]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def wrong() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Wrong) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_what_is_wrong_with_an_api_is_seen(wrong: str) -> None:
    findings = Findings()
    rest.run(wrong, findings, rest.Plan(1, phases=("fuzzing",), examples=1), key=None)
    assert {finding.where for finding in findings.all} == {"GET /breaks", "GET /page"}, findings.told()
