import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone
from standardwebhooks import Webhook

from project.accounts import signing
from project.accounts.models import User
from project.api.net import Answer
from project.webhooks import delivery as deliveries
from project.webhooks import selectors, services
from project.webhooks.delivery import deliver
from project.webhooks.models import LEASE, Delivery, WebhookEndpoint
from tests.support.servers import http_server, reply


@pytest.fixture
def queued(endpoint):
    (made,) = services.publish(endpoint.owner, "clip.succeeded", {"id": "clip_1"})
    return made


def row(pk):
    return Delivery.objects.get(pk=pk)


def test_a_good_answer_settles_it(queued, endpoint, server):
    assert deliver(queued)
    done = row(queued)
    assert (done.status, done.attempts, done.response_status) == ("succeeded", 1, 200)
    assert done.finished_at
    assert done.next_attempt_at is None
    assert WebhookEndpoint.objects.get().last_success_at
    (seen,) = server.seen
    assert json.loads(seen.body)["data"] == {"id": "clip_1"}
    assert seen.headers["Content-Type"] == "application/json"


def test_the_reference_implementation_accepts_our_signature(queued, endpoint, server):
    deliver(queued)
    seen = server.seen[0]
    headers = {name.lower(): value for name, value in seen.headers.items()}
    assert headers["webhook-id"].startswith("evt_")
    assert "." not in headers["webhook-id"]
    Webhook(services.endpoint_secret(endpoint)).verify(seen.body, headers)
    with pytest.raises(Exception, match="signature"):
        Webhook(services.endpoint_secret(endpoint)).verify(seen.body + b" ", headers)
    with pytest.raises(Exception, match="signature"):
        Webhook(signing.secret("whe_other", 1)).verify(seen.body, headers)


def test_our_signature_is_the_reference_s(endpoint):
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    theirs = Webhook(services.endpoint_secret(endpoint)).sign("evt_1", moment, '{"a": "ü"}')
    ours = signing.signature(
        services.endpoint_secret(endpoint), message_id="evt_1", timestamp=int(moment.timestamp()),
        body='{"a": "ü"}'.encode(),
    )  # fmt: skip
    assert ours == theirs


def test_both_secrets_sign_while_a_rotation_is_fresh(queued, endpoint, server, later):
    old = services.endpoint_secret(endpoint)
    new = services.rotate_secret(endpoint)
    deliver(queued)
    headers = {name.lower(): value for name, value in server.seen[0].headers.items()}
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (old, new):
        Webhook(secret).verify(server.seen[0].body, headers)
    later(timedelta(hours=25))
    endpoint.refresh_from_db()
    signed = deliveries.sign(row(queued), at=timezone.now())["webhook-signature"]
    assert len(signed.split()) == 1


def test_a_callback_is_signed_with_the_account_s_secret(alice, server, endpoint):
    made = services.publish(alice, "clip.failed", {"id": "c"}, f"http://127.0.0.1:{server.port}/call")
    (callback,) = Delivery.objects.filter(pk__in=made, endpoint=None).values_list("pk", flat=True)
    deliver(callback)
    (seen,) = server.seen
    headers = {name.lower(): value for name, value in seen.headers.items()}
    Webhook(signing.secret(alice.pk, 1)).verify(seen.body, headers)


@pytest.mark.parametrize("status", [302, 400, 404, 500])
def test_a_bad_answer_is_tried_again_with_the_same_id_and_a_new_time(queued, server, later, status):
    server.answer = reply(status, b"not today", Location="http://127.0.0.1:1/")
    deliver(queued)
    waiting = row(queued)
    assert (waiting.status, waiting.response_status, waiting.response_snippet) == (
        "pending",
        status,
        "not today",
    )
    assert waiting.next_attempt_at > timezone.now()
    assert not deliver(queued)
    later(timedelta(seconds=6))
    server.answer = reply(200)
    assert deliver(queued)
    first, second = server.seen
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) >= int(first.headers["webhook-timestamp"]) + 5
    assert [entry["status"] for entry in row(queued).log] == [status, 200]


def test_nobody_listening_is_tried_again(queued, endpoint):
    Delivery.objects.update(url="http://127.0.0.1:1/")
    deliver(queued)
    assert row(queued).status == "pending"
    assert "cannot be talked to" in row(queued).error


def test_an_inner_address_is_never_called(queued, server, settings):
    settings.EGRESS_ALLOWED_NETWORKS = []
    deliver(queued)
    assert server.seen == []
    assert "not on the public internet" in row(queued).error


def test_gone_switches_the_endpoint_off(queued, endpoint, server):
    server.answer = reply(410)
    deliver(queued)
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.disabled_reason) == (False, "gone")
    assert row(queued).status == "failed"
    assert services.publish(endpoint.owner, "clip.succeeded", {"id": "c"}) == []


def test_an_endpoint_that_fails_to_the_end_is_switched_off(queued, endpoint, server, later):
    server.answer = reply(500)
    for number in range(10):
        Delivery.objects.update(next_attempt_at=timezone.now())
        assert deliver(queued), number
    assert (row(queued).status, row(queued).attempts) == ("failed", 10)
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.disabled_reason) == (False, "failing")


def test_an_endpoint_that_had_a_success_meanwhile_stays_on(queued, endpoint, server):
    server.answer = reply(500)
    Delivery.objects.update(attempts=9)
    WebhookEndpoint.objects.update(last_success_at=timezone.now() + timedelta(seconds=1))
    deliver(queued)
    endpoint.refresh_from_db()
    assert row(queued).status == "failed"
    assert endpoint.enabled


def test_what_waits_for_an_endpoint_that_is_off_ends(queued, endpoint, server):
    services.update_endpoint(endpoint, {"enabled": False})
    deliver(queued)
    assert row(queued).status == "failed"
    assert server.seen == []


def test_retry_after_is_honoured(queued, server):
    server.answer = reply(429, Retry_After="3600")
    deliver(queued)
    assert row(queued).next_attempt_at > timezone.now() + timedelta(minutes=59)


def test_a_worker_that_was_killed_leaves_it_to_the_next(queued, server, later, monkeypatch):
    class Killed(BaseException):
        """As SIGKILL: nothing is cleaned up."""

    def die(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(deliveries, "safe_post", die)
        with pytest.raises(Killed):
            deliver(queued)
    assert not deliver(queued)
    assert selectors.due_deliveries() == []
    later(LEASE + timedelta(seconds=1))
    assert selectors.due_deliveries() == [queued]
    assert deliver(queued)
    assert row(queued).status == "succeeded"


def test_one_that_kills_every_worker_ends(queued, server):
    Delivery.objects.update(attempts=10)
    deliver(queued)
    assert row(queued).status == "failed"
    assert server.seen == []


def test_a_worker_that_lost_its_lease_writes_nothing(queued, monkeypatch):
    def slow(*args, **kwargs):
        """While this worker waits for its answer, another one takes over."""
        Delivery.objects.update(lease_token="another worker")
        return Answer(500, {}, b"", "")

    monkeypatch.setattr(deliveries, "safe_post", slow)
    deliver(queued)
    left = row(queued)
    assert (left.status, left.response_status, left.log) == ("pending", None, [])
    assert left.lease_token == "another worker"


def test_answers_that_are_no_text_are_kept_readable(queued, server):
    server.answer = reply(500, b"\x00\xff" + b"z" * 5000)
    deliver(queued)
    assert len(row(queued).response_snippet) <= 1024
    assert "\x00" not in row(queued).response_snippet


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_sends(settings, woken):
    settings.EGRESS_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    owner = User.objects.create_user("race@example.org", "a long password")
    with http_server() as server:
        (queued,) = services.publish(owner, "clip.failed", {"id": "c"}, f"http://127.0.0.1:{server.port}/")
        start, sent = threading.Barrier(6), []

        def work():
            start.wait(10)
            sent.append(deliver(queued))
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(sent) == [False] * 5 + [True]
        assert len(server.seen) == 1
