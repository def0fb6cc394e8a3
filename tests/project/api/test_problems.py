"""Whatever goes wrong under /api/ is a problem document."""

import json

import pytest
from django.db import OperationalError
from django.http import Http404
from django.test import AsyncClient
from django.urls import path
from rest_framework import serializers
from rest_framework.views import APIView

from project import errors
from project.api import handlers, problems

RAISE: dict[str, Exception] = {}


class Faulty(APIView):
    required_scopes = {"GET": None, "POST": None}

    def get(self, request):
        raise RAISE["now"]

    def post(self, request):
        Inner(data=request.data).is_valid(raise_exception=True)


class Line(serializers.Serializer):
    text = serializers.CharField(max_length=3)


class Inner(serializers.Serializer):
    title = serializers.CharField()
    lines = Line(many=True)
    tags = serializers.DictField(child=serializers.IntegerField())

    def validate(self, attrs):
        raise serializers.ValidationError("Nothing fits.", code="misfit")


async def streaming(request):
    raise RAISE["now"]


urlpatterns = [
    path("api/v1/faulty", Faulty.as_view()),
    path("api/v1/plain", streaming),
    path("page", streaming),
]
handler400, handler403 = handlers.bad_request, handlers.forbidden
handler404, handler500 = handlers.not_found, handlers.server_error


@pytest.fixture
def faulty(settings, alice, as_user):
    settings.ROOT_URLCONF = __name__
    return as_user(alice, raise_request_exception=False)


def problem(answer, status, code):
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    body = json.loads(answer.content)
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == f"urn:parley:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer["X-Request-Id"]
    return body


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidInput("Too short.", code="too_short", pointer="/script"), 400, "too_short"),
        (errors.InvalidInput("No.", code="reused", status=422), 422, "reused"),
        (errors.NotFound(), 404, "not_found"),
        (errors.NotAllowed(code="staff_only"), 403, "staff_only"),
        (errors.Conflict("Already done."), 409, "conflict"),
        (errors.Gone(), 410, "expired"),
        (Http404("secret path"), 404, "not_found"),
        (OperationalError("database is locked"), 503, "unavailable"),
        (ZeroDivisionError("our own bug"), 500, "internal_error"),
    ],
)
def test_each_error_has_its_status_and_code(faulty, error, status, code):
    RAISE["now"] = error
    body = problem(faulty.get("/api/v1/faulty"), status, code)
    assert body["instance"] == "/api/v1/faulty"
    assert "secret" not in str(body)
    assert "our own bug" not in str(body)


def test_a_limit_says_how_much_there_is_and_when_to_come_back(faulty):
    RAISE["now"] = errors.LimitReached(
        "Full.", code="concurrency_limit_exceeded", limit=3, used=3, retry_after=7
    )
    answer = faulty.get("/api/v1/faulty")
    body = problem(answer, 429, "concurrency_limit_exceeded")
    assert (body["limit"], body["used"], answer["Retry-After"]) == (3, 3, "7")


def test_what_is_away_says_when_to_come_back(faulty):
    RAISE["now"] = errors.Unavailable("Storage is away.", retry_after=5)
    assert faulty.get("/api/v1/faulty")["Retry-After"] == "5"


def test_wrong_fields_are_pointed_at(faulty):
    body = {"lines": [{"text": "ok"}, {"text": "too long"}], "tags": {"a/b~c": "x"}}
    found = problem(faulty.post("/api/v1/faulty", body), 400, "invalid")["errors"]
    assert [(error["pointer"], error["code"]) for error in found] == [
        ("/title", "required"),
        ("/lines/1/text", "max_length"),
        ("/tags/a~1b~0c", "invalid"),
    ]


def test_a_fault_of_the_whole_points_at_the_whole(faulty):
    body = problem(faulty.post("/api/v1/faulty", {"title": "x", "lines": [], "tags": {}}), 400, "invalid")
    assert body["errors"] == [{"pointer": "", "code": "misfit", "detail": "Nothing fits."}]


async def test_plain_async_views_answer_alike(settings):
    settings.ROOT_URLCONF = __name__
    RAISE["now"] = errors.Gone("The video has expired.")
    answer = await AsyncClient().get("/api/v1/plain")
    body = problem(answer, 410, "expired")
    assert body["detail"] == "The video has expired."


async def test_a_bug_in_a_plain_view_tells_nothing(settings):
    settings.ROOT_URLCONF = __name__
    RAISE["now"] = KeyError("password")
    answer = await AsyncClient(raise_request_exception=False).get("/api/v1/plain")
    assert "password" not in str(problem(answer, 500, "internal_error"))


def test_pages_are_not_problems(settings, client):
    settings.ROOT_URLCONF = __name__
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


def test_unknown_addresses_methods_and_media(client, alice, as_user):
    problem(client.get("/api/v1/nothing"), 404, "not_found")
    api = as_user(alice)
    answer = api.delete("/api/v1/me")
    problem(answer, 405, "method_not_allowed")
    assert "GET" in answer["Allow"]
    problem(api.post("/api/v1/api-keys", "x", content_type="text/csv"), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("raw", "code", "pointer"),
    [
        (b"{", "malformed_body", None),
        (b"\xff\xfe", "malformed_body", None),
        (b"[" * 100_000, "malformed_body", None),
        (b'{"name": NaN}', "malformed_body", None),
        (b'{"name": 1e999}', "invalid_number", "/name"),
        (b'{"a": ["x", "nul\\u0000"]}', "invalid_text", "/a/1"),
        (b'{"name": "\\ud800"}', "invalid_text", "/name"),
        (b'{"\\udfff": 1}', "invalid_text", ""),
        (b"[]", "invalid", ""),
        (b'"text"', "invalid", ""),
        (b"{" + b'"n": ' + b"9" * 5000 + b"}", "malformed_body", None),
    ],
)
def test_bodies_that_cannot_be_used(alice, as_user, raw, code, pointer):
    answer = as_user(alice).post("/api/v1/api-keys", raw, content_type="application/json")
    body = problem(answer, 400, code)
    if pointer is not None:
        assert body["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("address", ["/api/v1/me?x=%00", "/api/v1/api-keys/%00", "/api/v1/api-keys/a%00b"])
def test_nul_characters_in_addresses_are_refused(alice, as_user, address):
    problem(as_user(alice).get(address), 400, "bad_request")


def test_an_old_body_limit_of_django_is_a_413(faulty):
    from django.core.exceptions import RequestDataTooBig

    RAISE["now"] = RequestDataTooBig()
    problem(faulty.get("/api/v1/faulty"), 413, "body_too_large")


def test_texts_are_english_whatever_the_browser_prefers(alice, as_user):
    answer = as_user(alice).post("/api/v1/api-keys", {}, HTTP_ACCEPT_LANGUAGE="de")
    assert answer.json()["errors"][0]["detail"] == "This field is required."


def test_an_odd_accept_header_still_gets_json(alice, as_user):
    answer = as_user(alice).get("/api/v1/me", HTTP_ACCEPT="video/*")
    assert answer.status_code == 200
    assert answer.json()["email"] == "alice@example.org"


@pytest.mark.parametrize(
    ("offered", "kept"),
    [("req-12345678", True), ("short", False), ("bad\r\nheader", False), ("x" * 129, False)],
)
def test_a_decent_request_id_is_kept(client, offered, kept):
    answer = client.get("/api/v1/me", headers={"X-Request-Id": offered})
    assert (answer["X-Request-Id"] == offered) is kept
    assert len(answer["X-Request-Id"]) >= 8


def test_the_body_of_a_problem_leaves_out_what_is_unknown():
    assert set(problems.body(404, "not_found", "")) == {"type", "title", "status", "detail", "code"}
