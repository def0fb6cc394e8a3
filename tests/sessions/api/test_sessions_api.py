import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from project.accounts import allowances, keys
from project.api.models import IdempotencyRecord
from project.errors import Conflict
from project.metrics import instruments
from sessions import services, steering
from sessions.models import Session
from sessions.runtime.commands import HostUnreachable
from tests.support.clips import ready_avatar
from tests.support.figures import timed
from tests.support.sessions import started, turn_back

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def post(client, avatar):
    def create(**wish):
        headers = wish.pop("headers", {})
        body = {"avatar": avatar.pk} | wish
        body = {name: value for name, value in body.items() if value is not ...}
        return client.post("/api/v1/sessions", body, format="json", headers=headers)

    return create


# --- Beginning ------------------------------------------------------------------------------


def test_a_new_session_says_how_to_join_it(post, client) -> None:
    answer = post(metadata={"visitor": 7}, allowed_origins=["https://Shop.example.com/"])
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["Location"] == f"/api/v1/sessions/{made['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert made["ws_url"] == f"ws://127.0.0.1:8000/ws/sessions/{made['id']}/"
    assert made["join_url"] == f"http://127.0.0.1:8000/live/{made['id']}#{made['client_token']}"
    assert made["ice_servers"] == []
    assert made["limits"]["max_duration_seconds"] == 1800
    assert made["expires_at"] > made["created_at"]
    assert made["record"] is True
    assert made["allowed_origins"] == ["https://shop.example.com"]
    assert services.session_open(made["id"], made["client_token"])
    seen = client.get(answer.headers["Location"]).json()
    assert (seen["status"], seen["metadata"]) == ("created", {"visitor": 7})
    assert "client_token" not in seen
    assert "join_url" not in seen


def test_turn_servers_come_with_credentials_that_outlast_the_session(post, settings) -> None:
    settings.STUN_URLS = ["stun:stun.example.com"]
    settings.TURN_URLS = ["turn:turn.example.com?transport=udp"]
    settings.TURN_SECRET = "s3cret"
    settings.TURN_CREDENTIAL_SECONDS = 60
    made = post().json()
    stun, turn = made["ice_servers"]
    assert stun == {"urls": ["stun:stun.example.com"]}
    expiry, _, user = turn["username"].partition(":")
    assert user == made["id"]
    assert int(expiry) >= made["limits"]["max_duration_seconds"]
    assert turn["credential"]
    assert "s3cret" not in json.dumps(made)


@pytest.mark.parametrize(
    ("wish", "code", "pointer"),
    [
        ({"avatar": ...}, "required", "/avatar"),
        ({"avatar": "avt_unknown"}, "avatar_not_found", "/avatar"),
        ({"avatar": 7.5e10}, "avatar_not_found", "/avatar"),
        ({"avatar": {}}, "invalid", "/avatar"),
        ({"voice": "nobody"}, "voice_not_found", "/voice"),
        ({"persona": "nobody"}, "persona_not_found", "/persona"),
        ({"model": "wav2lip-9"}, "model_not_available", "/model"),
        ({"model": "viseme"}, "avatar_not_prepared_for_model", "/model"),
        ({"record": "perhaps"}, "invalid", "/record"),
        ({"max_duration_seconds": 9}, "invalid_duration", "/max_duration_seconds"),
        ({"max_duration_seconds": -1}, "invalid_duration", "/max_duration_seconds"),
        ({"max_duration_seconds": 1801}, "invalid_duration", "/max_duration_seconds"),
        ({"max_duration_seconds": 10**12}, "invalid_duration", "/max_duration_seconds"),
        ({"max_duration_seconds": "long"}, "invalid", "/max_duration_seconds"),
        ({"allowed_origins": "https://a.example.com"}, "not_a_list", "/allowed_origins"),
        ({"allowed_origins": ["a.example.com"]}, "invalid_origin", "/allowed_origins/0"),
        ({"allowed_origins": ["https://a.example.com", "*"]}, "invalid_origin", "/allowed_origins/1"),
        ({"allowed_origins": ["https://*.example.com"]}, "invalid_origin", "/allowed_origins/0"),
        ({"allowed_origins": ["null"]}, "invalid_origin", "/allowed_origins/0"),
        ({"allowed_origins": ["https://a.example.com/page"]}, "invalid_origin", "/allowed_origins/0"),
        ({"allowed_origins": ["https://me:pw@a.example.com"]}, "invalid_origin", "/allowed_origins/0"),
        ({"allowed_origins": ["https://a.example.com:99999"]}, "invalid_origin", "/allowed_origins/0"),
        ({"allowed_origins": ["https://[::1"]}, "invalid_origin", "/allowed_origins/0"),
        ({"allowed_origins": ["javascript:alert(1)"]}, "invalid_origin", "/allowed_origins/0"),
        ({"allowed_origins": ["https://a.example.com"] * 21}, "too_many_origins", "/allowed_origins"),
        ({"metadata": []}, "not_a_dict", "/metadata"),
        ({"metadata": {"note": "x" * 9000}}, "metadata_too_large", "/metadata"),
    ],
)
def test_what_cannot_be_begun_is_refused_by_name(post, wish, code, pointer) -> None:
    answer = post(**wish)
    assert answer.status_code == 400, answer.json()
    assert (answer.json()["errors"][0]["code"], answer.json()["errors"][0]["pointer"]) == (code, pointer)
    assert Session.objects.count() == 0


def test_the_avatar_of_somebody_else_is_not_found(post, objects, mallory) -> None:
    foreign = ready_avatar(objects, mallory)
    assert post(avatar=foreign.pk).json()["errors"][0]["code"] == "avatar_not_found"


def test_one_that_is_not_ready_or_was_archived_is_refused(post, avatar) -> None:
    type(avatar).objects.filter(pk=avatar.pk).update(status="preparing")
    assert post().json()["errors"][0]["code"] == "avatar_not_ready"
    type(avatar).objects.filter(pk=avatar.pk).update(archived_at=avatar.created_at)
    assert post().json()["errors"][0]["code"] == "avatar_archived"


def test_too_many_at_once_is_429_and_says_how_many(post, settings) -> None:
    settings.DEFAULT_ALLOWANCE = settings.DEFAULT_ALLOWANCE | {"concurrent_sessions": 1}
    assert post().status_code == 201
    answer = post()
    assert answer.status_code == 429
    told = answer.json()
    assert (told["code"], told["limit"], told["used"]) == ("concurrency_limit_exceeded", 1, 1)
    assert answer.headers["Retry-After"]


def test_a_refusal_is_not_timed_as_a_session_that_was_made(post, settings) -> None:
    settings.DEFAULT_ALLOWANCE = settings.DEFAULT_ALLOWANCE | {"concurrent_sessions": 1}
    before = timed(instruments.session_create)
    assert [post().status_code for _ in range(3)] == [201, 429, 429]
    assert timed(instruments.session_create) - before == 1


def test_a_used_up_day_is_429(post, alice, settings) -> None:
    settings.DEFAULT_ALLOWANCE = settings.DEFAULT_ALLOWANCE | {"session_minutes_a_day": 1}
    allowances.add_session_seconds(alice, 61)
    answer = post()
    assert (answer.status_code, answer.json()["code"]) == (429, "daily_session_limit_reached")


def test_a_repeated_request_begins_nothing_and_gets_the_same_token(post, settings) -> None:
    settings.TURN_URLS, settings.TURN_SECRET = ["turn:turn.example.com"], "s3cret"
    key = {"Idempotency-Key": '"abc"'}
    first, second = post(headers=key), post(headers=key)
    assert second.status_code == 201
    assert second.headers["Idempotency-Replayed"] == "true"
    assert first.json()["client_token"] == second.json()["client_token"]
    assert first.json()["id"] == second.json()["id"]
    assert Session.objects.count() == 1
    assert post(headers=key, record=False).json()["code"] == "idempotency_key_reused"


def test_what_is_kept_for_a_repeated_request_opens_nothing(post, settings) -> None:
    settings.TURN_URLS, settings.TURN_SECRET = ["turn:turn.example.com"], "s3cret"
    made = post(headers={"Idempotency-Key": "abc"}).json()
    kept = json.dumps(IdempotencyRecord.objects.get().body)
    assert made["client_token"] not in kept
    assert made["ice_servers"][0]["credential"] not in kept


def test_a_refused_request_leaves_its_key_free(post) -> None:
    key = {"Idempotency-Key": "abc"}
    assert post(headers=key, voice="nobody").status_code == 400
    assert post(headers=key).status_code == 201


def test_a_list_reads_the_queue_once(client, alice, avatar, settings, django_assert_num_queries) -> None:
    settings.LIVE_MAX_SESSIONS = 0
    one, _ = started(alice, avatar)

    def listed():
        return [row["position"] for row in client.get("/api/v1/sessions").json()["results"]]

    listed()  # the first request notes the use of the key
    with CaptureQueriesContext(connection) as asked:
        assert listed() == [1]
    for _ in range(3):
        started(alice, avatar)
    with django_assert_num_queries(len(asked)):
        assert listed() == [4, 3, 2, 1]
    assert client.get(f"/api/v1/sessions/{one.pk}").json()["position"] == 1


def test_creating_one_takes_few_queries(post, alice, django_assert_max_num_queries) -> None:
    with django_assert_max_num_queries(16):
        assert post().status_code == 201


# --- Reading --------------------------------------------------------------------------------


def test_the_list_costs_the_same_however_long_it_is(
    client, alice, avatar, django_assert_max_num_queries
) -> None:
    for _ in range(3):
        session, fence = started(alice, avatar)
        services.turn_save(session.pk, 1, fence=fence, who="user", text="Where is my parcel?")
        services.session_end(session.pk, "client_ended")
    with django_assert_max_num_queries(2):
        rows = client.get("/api/v1/sessions").json()["results"]
    assert [row["turns"] for row in rows] == [1, 1, 1]
    assert rows[0]["recording"]["status"] == "assembling"
    assert rows[0]["avatar_name"] == "Card"


def test_the_list_can_be_filtered_searched_and_paged(client, alice, avatar) -> None:
    ended, fence = started(alice, avatar)
    services.turn_save(ended.pk, 1, fence=fence, who="avatar", text="We close at nine.")
    services.session_end(ended.pk, "client_ended")
    running, _ = started(alice, avatar)

    def ids(query: str) -> list[str]:
        return [row["id"] for row in client.get(f"/api/v1/sessions?{query}").json()["results"]]

    assert ids("") == [running.pk, ended.pk]
    assert ids("status=ended") == [ended.pk]
    assert ids("status=active,queued") == [running.pk]
    assert ids("search=close+at") == [ended.pk]
    assert ids("search=card") == [running.pk, ended.pk]
    assert ids("search=nothing") == []
    assert ids(f"avatar={avatar.slug}") == [running.pk, ended.pk]
    page = client.get("/api/v1/sessions?limit=1").json()
    assert [row["id"] for row in client.get(page["next"]).json()["results"]] == [ended.pk]


@pytest.mark.parametrize("query", ["status=gone", "created_after=yesterday", "limit=0", "cursor=x"])
def test_filters_that_mean_nothing_are_refused(client, alice, query) -> None:
    assert client.get(f"/api/v1/sessions?{query}").status_code == 400


def test_one_can_be_looked_at_while_it_runs(client, alice, avatar) -> None:
    session, fence = started(alice, avatar)
    turn_back(session, 5, "started_at")
    services.session_phase(session.pk, fence, "thinking")
    told = client.get(f"/api/v1/sessions/{session.pk}").json()
    assert (told["status"], told["phase"], told["position"]) == ("active", "thinking", None)
    assert told["duration_ms"] >= 5000
    assert told["end_reason"] is None


# --- Steering -------------------------------------------------------------------------------


def test_text_is_said_and_asked(client, alice, avatar, host) -> None:
    session, _ = started(alice, avatar)
    said = client.post(f"/api/v1/sessions/{session.pk}/say", {"text": "Hello."}, format="json")
    asked = client.post(f"/api/v1/sessions/{session.pk}/ask", {"text": "Why?"}, format="json")
    assert (said.status_code, said.json()) == (202, {"turn": 1})
    assert (asked.status_code, asked.json()) == (202, {"turn": 2})
    assert host.told == [(session.pk, "say", {"text": "Hello."}), (session.pk, "ask", {"text": "Why?"})]
    answer = client.post(f"/api/v1/sessions/{session.pk}/interrupt")
    assert (answer.status_code, answer.json()) == (200, {"turn": 2, "heard_text": "Hello"})


def test_uploaded_sound_of_ones_own_can_be_said(client, running, mallory, host, upload) -> None:
    alice = running.owner
    mine, foreign, picture = upload(alice), upload(mallory), upload(alice, kind="image")
    path = f"/api/v1/sessions/{running.pk}/say"
    assert client.post(path, {"upload": mine.pk}, format="json").status_code == 202
    payload = {"upload": {"id": mine.pk, "key": mine.pcm_key, "duration_ms": 1500}}
    assert host.told == [(running.pk, "say", payload)]
    for wrong in (foreign.pk, picture.pk, "upl_unknown"):
        answer = client.post(path, {"upload": wrong}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (400, "upload_not_found")


def test_sound_that_is_too_long_is_refused(client, alice, avatar, host, upload) -> None:
    session, _ = started(alice, avatar)
    long = upload(alice, duration_ms=60_001)
    answer = client.post(f"/api/v1/sessions/{session.pk}/ask", {"upload": long.pk}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (400, "upload_too_long")
    assert (
        client.post(f"/api/v1/sessions/{session.pk}/say", {"upload": long.pk}, format="json").status_code
        == 202
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": ""},
        {"text": "  "},
        {"text": "x" * 5001},
        {"text": "a", "upload": "b"},
        {"upload": 7},
        {"text": []},
    ],
)
@pytest.mark.parametrize("call", ["say", "ask"])
def test_what_cannot_be_said_is_refused(client, running, host, body, call) -> None:
    assert client.post(f"/api/v1/sessions/{running.pk}/{call}", body, format="json").status_code == 400
    assert host.told == []


@pytest.mark.parametrize("call", ["say", "ask", "interrupt"])
def test_only_an_active_session_can_be_steered(post, client, host, call) -> None:
    session = post().json()["id"]
    answer = client.post(f"/api/v1/sessions/{session}/{call}", {"text": "Hello"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "session_not_active")
    services.session_end(session, "api_ended")
    assert client.post(f"/api/v1/sessions/{session}/{call}", {"text": "a"}, format="json").status_code == 409


def test_a_host_that_does_not_answer_is_504(client, alice, avatar, host) -> None:
    session, _ = started(alice, avatar)
    host.failure = HostUnreachable("The session did not answer in time.")
    answer = client.post(f"/api/v1/sessions/{session.pk}/say", {"text": "Hello"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (504, "host_unreachable")


def test_ending_works_with_a_host_and_without(client, alice, avatar, host) -> None:
    first, _ = started(alice, avatar)
    second, _ = started(alice, avatar)
    third, _ = started(alice, avatar)
    for session, failure in (
        (first, None),
        (second, HostUnreachable("gone")),
        (third, Conflict("nobody", code="session_not_active")),
    ):
        host.failure = failure
        answer = client.post(f"/api/v1/sessions/{session.pk}/end")
        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["end_reason"]) == ("ended", "api_ended")
    assert client.post(f"/api/v1/sessions/{first.pk}/end").json()["end_reason"] == "api_ended"


def test_a_host_that_says_yes_and_does_nothing_is_not_waited_for_long(
    client, running, host, monkeypatch
) -> None:
    monkeypatch.setattr(steering, "PATIENCE_SECONDS", 0.1)
    host.hangs = True
    answer = client.post(f"/api/v1/sessions/{running.pk}/end")
    assert (answer.json()["status"], answer.json()["end_reason"]) == ("ended", "api_ended")


def test_one_that_never_began_can_be_ended(post, client, host) -> None:
    host.failure = Conflict("It is created.", code="session_not_active")
    session = post().json()["id"]
    assert client.post(f"/api/v1/sessions/{session}/end").json()["status"] == "ended"


# --- Whose it is ----------------------------------------------------------------------------

ROUTES = [
    ("get", ""),
    ("delete", ""),
    ("post", "/say"),
    ("post", "/ask"),
    ("post", "/interrupt"),
    ("post", "/end"),
    ("get", "/transcript"),
    ("get", "/transcript.vtt"),
    ("get", "/latency"),
]


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_a_stranger_finds_nothing(stranger, running, host, method, route) -> None:
    for name in (running.pk, "ses_unknown"):
        answer = getattr(stranger, method)(f"/api/v1/sessions/{name}{route}", {"text": "Hi"}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")
    assert host.told == []
    running.refresh_from_db()
    assert running.status == "active"


def test_a_stranger_lists_nothing(stranger, alice, avatar) -> None:
    started(alice, avatar)
    assert stranger.get("/api/v1/sessions").json()["results"] == []
    assert stranger.get("/api/v1/recordings").json()["results"] == []


@pytest.mark.parametrize(("method", "route"), [("post", ""), *[(m, f"/ses_x{r}") for m, r in ROUTES]])
def test_nobody_gets_in_without_a_key(db, method, route) -> None:
    from rest_framework.test import APIClient

    assert getattr(APIClient(), method)(f"/api/v1/sessions{route}").status_code == 401


def test_a_key_needs_the_scope_of_the_call(alice, avatar) -> None:
    from rest_framework.test import APIClient

    _, reader = keys.create(alice, name="reader", scopes=["sessions:read"])
    client = APIClient(headers={"Authorization": f"Bearer {reader}"})
    assert client.get("/api/v1/sessions").status_code == 200
    answer = client.post("/api/v1/sessions", {"avatar": avatar.pk}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    _, clips = keys.create(alice, name="clips", scopes=["clips:read"])
    assert APIClient(headers={"Authorization": f"Bearer {clips}"}).get("/api/v1/sessions").status_code == 403
