import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import path
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from project import errors
from project.accounts import keys
from project.accounts.models import DailyUsage, User
from project.api.idempotency import expire, idempotent, once, replay
from project.api.models import IdempotencyRecord

ANSWER: dict[str, object] = {}


class Work(APIView):
    """Counts what it did in a row, so that a rolled-back transaction shows."""

    required_scopes = {"POST": None}

    @idempotent
    def post(self, request):
        row, _ = DailyUsage.objects.get_or_create(owner=request.user, day="2026-01-01")
        DailyUsage.objects.filter(pk=row.pk).update(video_seconds=row.video_seconds + 1)
        if gate := ANSWER.get("gate"):
            ANSWER["entered"].set()
            gate.wait(10)
        if isinstance(ANSWER.get("raise"), BaseException):
            raise ANSWER["raise"]
        body = {"done": row.video_seconds + 1, "at": timezone.now(), "asked": request.data}
        return Response(body, status=ANSWER.get("status", 202), headers={"Location": "/there"})


class Slow(APIView):
    required_scopes = {"POST": None}

    def post(self, request):
        if (answer := replay(request)) is not None:
            return answer
        ANSWER["slow"] = ANSWER.get("slow", 0) + 1
        assert not connection.in_atomic_block or ANSWER["nested"]
        return once(request, lambda: Response({"n": ANSWER["slow"]}))


urlpatterns = [path("api/v1/work", Work.as_view()), path("api/v1/other", Work.as_view()),
               path("api/v1/slow", Slow.as_view())]  # fmt: skip


@pytest.fixture(autouse=True)
def fresh(settings):
    settings.ROOT_URLCONF = __name__
    ANSWER.clear()
    ANSWER["nested"] = True


def done(user):
    return sum(DailyUsage.objects.filter(owner=user).values_list("video_seconds", flat=True))


@pytest.fixture
def post(alice, as_user):
    api = as_user(alice, raise_request_exception=False)

    def send(body=None, key="abc", url="/api/v1/work", client=api):
        headers = {} if key is None else {"HTTP_IDEMPOTENCY_KEY": key}
        return client.post(url, {"n": 1} if body is None else body, **headers)

    return send


def test_a_repeated_request_replays_its_answer(post, alice):
    first, second = post(), post()
    assert done(alice) == 1
    assert first.json() == second.json()
    assert (second.status_code, second["Location"]) == (202, "/there")
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"


def test_without_a_key_everything_is_done_again(post, alice):
    post(key=None)
    post(key=None)
    assert done(alice) == 2


def test_quotes_do_not_matter(post, alice):
    post(key='"abc"')
    assert post(key="abc")["Idempotency-Replayed"] == "true"


def test_spelling_of_the_same_json_does_not_matter(post, alice):
    post({"a": 1, "b": [2]})
    assert post({"b": [2], "a": 1})["Idempotency-Replayed"] == "true"


def test_another_body_is_refused(post, alice):
    post({"n": 1})
    answer = post({"n": 2})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert done(alice) == 1


def test_keys_are_each_account_s_and_each_address_s_own(post, alice, mallory, as_user):
    post()
    assert "Idempotency-Replayed" not in post(url="/api/v1/other")
    assert "Idempotency-Replayed" not in post(client=as_user(mallory))
    assert (done(alice), done(mallory)) == (2, 1)


def test_another_key_of_the_same_account_replays(post, alice, as_user):
    post()
    assert post(client=as_user(alice))["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 503])
def test_some_answers_are_not_kept(post, alice, status):
    ANSWER["status"] = status
    post()
    ANSWER["status"] = 201
    assert post().status_code == 201
    assert done(alice) == 2


@pytest.mark.parametrize("error", [errors.InvalidInput("No."), errors.LimitReached("Full."), KeyError("bug")])
def test_a_request_that_failed_did_nothing_and_frees_its_key(post, alice, error):
    ANSWER["raise"] = error
    assert post().status_code >= 400
    assert done(alice) == 0
    ANSWER["raise"] = None
    assert post({"n": "corrected"}).status_code == 202
    assert done(alice) == 1


def test_after_a_day_the_key_is_free(post, alice, later):
    post()
    later(timedelta(hours=23))
    assert post()["Idempotency-Replayed"] == "true"
    later(timedelta(hours=24, seconds=1))
    assert "Idempotency-Replayed" not in post({"n": 2})
    assert IdempotencyRecord.objects.count() == 1


def test_old_answers_are_forgotten(post, later):
    post()
    assert expire() == 0
    later(timedelta(hours=25))
    assert expire() == 1


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "sch\xf6n", "tab\there"])
def test_a_bad_key_is_refused(post, alice, key):
    answer = post(key=key)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")
    assert done(alice) == 0


def test_slow_checks_are_not_repeated(post):
    first, second = post(url="/api/v1/slow"), post(url="/api/v1/slow")
    assert first.json() == second.json() == {"n": 1}
    assert ANSWER["slow"] == 1


@pytest.fixture
def racer():
    owner = User.objects.create_user("race@example.org", "a long password")
    _, text = keys.create(owner, name="race")

    def send(answers, **headers):
        client = APIClient(raise_request_exception=False)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
        answer = client.post("/api/v1/work", {"n": 1}, HTTP_IDEMPOTENCY_KEY="race", **headers)
        answers.append((answer.status_code, answer.json().get("code")))
        connection.close()

    return owner, send


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_while_the_first_is_at_work_the_second_is_told_so(racer):
    owner, send = racer
    ANSWER["gate"], ANSWER["entered"] = threading.Event(), threading.Event()
    first, second = [], []
    thread = threading.Thread(target=send, args=(first,))
    thread.start()
    assert ANSWER["entered"].wait(10)
    send(second)
    assert second == [(409, "idempotency_in_progress")]
    ANSWER["gate"].set()
    thread.join(20)
    assert first == [(202, None)]
    assert done(owner) == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_is_done(racer):
    owner, send = racer
    answers = []
    threads = [threading.Thread(target=send, args=(answers,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 6
    assert {status for status, _ in answers} <= {202, 409}
    assert 202 in {status for status, _ in answers}
    assert done(owner) == 1


@pytest.mark.django_db(transaction=True)
def test_a_crash_before_commit_leaves_neither_work_nor_answer(racer):
    owner, send = racer

    class Killed(BaseException):
        """As SIGKILL: nothing catches it."""

    answers = []
    ANSWER["raise"] = Killed()
    with pytest.raises(Killed):
        send(answers)
    assert done(owner) == 0
    assert not IdempotencyRecord.objects.exists()
    ANSWER["raise"] = None
    send(answers)
    assert answers == [(202, None)]
