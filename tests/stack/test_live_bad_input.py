"""Sessions, recordings and personas take nothing amiss: every odd request is a named 4xx."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from project.bench.stack import EmbeddedStack
from tests.stack.customers import client, customer, refused
from tests.stack.test_bad_input import BODIES, JSON, QUERIES, STRANGE
from tests.support.media import voice, wav

SESSIONS, RECORDINGS, PERSONAS = "/api/v1/sessions", "/api/v1/recordings", "/api/v1/personas"
STEERING = ("say", "ask", "interrupt", "end")


@pytest.fixture(scope="module")
def api(stack: EmbeddedStack) -> Iterator[httpx.Client]:
    with client(stack, customer(stack, "odd-sessions@example.com")) as api:
        yield api


@pytest.mark.parametrize("path", [SESSIONS, PERSONAS, f"{SESSIONS}/ses_0/say"])
@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_is_no_decent_json_is_refused(api: httpx.Client, path: str, what: str) -> None:
    body, status, code = BODIES[what]
    answer = api.post(path, content=body, headers=JSON)
    if path.endswith("/say"):  # a session that there is not comes before what should be said in it
        assert 400 <= answer.status_code < 500, answer.text
        return
    refused(answer, status, code)


BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"avatar": None}, "/avatar"),
    ({"avatar": ["lena"]}, "/avatar"),
    ({"avatar": "x" * 5000}, "/avatar"),
    ({"avatar": "a\u0000b"}, "/avatar"),
    ({"voice": 7.5}, "/voice"),
    ({"persona": "psn_0"}, "/persona"),
    ({"persona": {"id": 1}}, "/persona"),
    ({"model": "gpt"}, "/model"),
    ({"record": "perhaps"}, "/record"),
    ({"may_say": [1]}, "/may_say"),
    ({"max_duration_seconds": 0}, "/max_duration_seconds"),
    ({"max_duration_seconds": True}, "/max_duration_seconds"),
    ({"max_duration_seconds": 1e300}, "/max_duration_seconds"),
    ({"allowed_origins": {"a": 1}}, "/allowed_origins"),
    ({"allowed_origins": [7]}, "/allowed_origins/0"),
    ({"allowed_origins": ["https://ключ.example"]}, "/allowed_origins/0"),
    ({"allowed_origins": ["https://exa mple.com"]}, "/allowed_origins/0"),
    ({"metadata": "text"}, "/metadata"),
    ({"metadata": {"n": 10**400}}, "/metadata/n"),
    ({"metadata": {"big": "x" * 9000}}, "/metadata"),
]


@pytest.mark.parametrize(("change", "pointer"), BAD_FIELDS)
def test_a_field_of_a_session_is_named(
    api: httpx.Client, avatar: str, change: dict[str, Any], pointer: str
) -> None:
    answer = api.post(SESSIONS, json={"avatar": avatar, **change})
    assert answer.status_code == 400, answer.text
    assert pointer.split("/")[1] in str([error["pointer"] for error in answer.json()["errors"]]), answer.text


@pytest.mark.parametrize("strange", STRANGE)
def test_an_id_of_nothing_is_not_found(api: httpx.Client, strange: str) -> None:
    for path, code in ((SESSIONS, "session"), (RECORDINGS, "recording"), (PERSONAS, "persona")):
        answer = api.get(f"{path}/{strange}")
        refused(answer, 404, answer.json()["code"])
        assert answer.json()["code"] in (f"{code}_not_found", "not_found")
        assert api.delete(f"{path}/{strange}").status_code == 404
    for below in STEERING:
        assert api.post(f"{SESSIONS}/{strange}/{below}", json={"text": "Hi"}).status_code == 404
    for path in (f"{SESSIONS}/{strange}/transcript", f"{RECORDINGS}/{strange}/video"):
        assert api.get(path).status_code == 404


@pytest.mark.parametrize("query", [one for one in QUERIES if not one.startswith(("ids", "limit=9999"))])
def test_a_question_that_makes_no_sense_is_refused(api: httpx.Client, query: str) -> None:
    assert api.get(f"{SESSIONS}?{query}").status_code == 400
    if not query.startswith("created"):
        assert api.get(f"{RECORDINGS}?{query}").status_code == 400
    refused(api.get(f"{SESSIONS}?search=%00"), 400, "bad_request")


def test_one_that_nobody_joined_is_not_steered_and_can_be_ended_and_erased(
    api: httpx.Client, avatar: str
) -> None:
    made = api.post(SESSIONS, json={"avatar": avatar, "metadata": {"visitor": "ünïcode 🎉"}})
    assert made.status_code == 201, made.text
    session = made.json()
    where = f"{SESSIONS}/{session['id']}"
    assert session["join_url"].endswith(f"/live/{session['id']}#{session['client_token']}")
    sound = api.post("/api/v1/uploads", files={"file": ("a.wav", wav(voice(1.0)))}).json()["id"]
    for below, body in (("say", {"text": "Hi"}), ("ask", {"upload": sound}), ("interrupt", None)):
        refused(api.post(f"{where}/{below}", json=body), 409, "session_not_active")
    ended = api.post(f"{where}/end")
    assert (ended.status_code, ended.json()["end_reason"]) == (200, "api_ended")
    assert api.get(f"{where}/transcript.vtt").text == "WEBVTT\n\n"
    assert api.delete(where).status_code == 204
    refused(api.get(where), 404, "session_not_found")


def test_a_repeated_request_gets_the_same_session_and_token(api: httpx.Client, avatar: str) -> None:
    asked = {"json": {"avatar": avatar}, "headers": {"Idempotency-Key": "one-session"}}
    first, second = api.post(SESSIONS, **asked), api.post(SESSIONS, **asked)  # type: ignore[arg-type]
    assert second.headers["Idempotency-Replayed"] == "true"
    for name in ("id", "client_token", "ws_url"):
        assert first.json()[name] == second.json()[name]
    api.delete(f"{SESSIONS}/{first.json()['id']}")
