import json
from datetime import timedelta

import pytest
from django.db import transaction

from project.webhooks import selectors, services
from project.webhooks.models import Delivery, WebhookEndpoint


def publish(owner, event="clip.succeeded", data=None, callback_url=None):
    with transaction.atomic():
        return services.publish(owner, event, data or {"id": "clip_1"}, callback_url)


def make(owner, url="https://hooks.example/a", **fields):
    return WebhookEndpoint.objects.create(owner=owner, url=url, **fields)


def test_an_event_goes_to_every_endpoint_that_wants_it_and_to_the_callback(alice, mallory, woken):
    every, some = make(alice), make(alice, "https://hooks.example/b", events=["clip.succeeded"])
    make(alice, "https://hooks.example/c", events=["clip.failed"])
    make(alice, "https://hooks.example/d", enabled=False)
    make(mallory, "https://hooks.example/e")
    publish(alice, callback_url="https://call.example/back")
    rows = Delivery.objects.all()
    assert {(row.endpoint_id, row.url) for row in rows} == {
        (every.pk, every.url), (some.pk, some.url), (None, "https://call.example/back"),
    }  # fmt: skip
    assert len({row.event_id for row in rows}) == 1
    assert {row.owner_id for row in rows} == {alice.pk}


def test_nobody_interested_means_no_row(alice, woken):
    assert publish(alice) == []


def test_the_body_follows_standard_webhooks(alice, woken):
    publish(alice, data={"id": "clip_1", "name": "Grüße"}, callback_url="https://call.example/")
    body = json.loads(Delivery.objects.get().body)
    assert set(body) == {"type", "timestamp", "data"}
    assert body["type"] == "clip.succeeded"
    assert body["timestamp"].endswith("Z")
    assert body["data"] == {"id": "clip_1", "name": "Grüße"}


def test_a_body_that_would_be_too_large_is_thinned(alice, woken):
    publish(alice, data={"id": "clip_1", "metadata": "x" * 30_000}, callback_url="https://call.example/")
    assert json.loads(Delivery.objects.get().body)["data"] == {"id": "clip_1", "truncated": True}


def test_the_outbox_and_the_work_stand_or_fall_together(alice, woken):
    def work():
        with transaction.atomic():
            services.publish(alice, "clip.succeeded", {"id": "x"}, "https://call.example/")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert not Delivery.objects.exists()
    assert woken == []


@pytest.mark.django_db(transaction=True)
def test_the_queue_is_woken_after_commit_only(alice, woken):
    with transaction.atomic():
        services.publish(alice, "clip.succeeded", {"id": "x"}, "https://call.example/")
        assert woken == []
    assert woken == [1]


@pytest.mark.django_db(transaction=True)
def test_a_queue_that_cannot_be_woken_loses_nothing(alice, monkeypatch):
    def away():
        raise ConnectionError("the broker is away")

    monkeypatch.setattr(services, "_wake", away)
    publish(alice, callback_url="https://call.example/")
    assert len(selectors.due_deliveries()) == 1


@pytest.mark.django_db(transaction=True)
def test_the_real_waker_is_found_by_its_name(alice, settings):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    publish(alice, callback_url="https://call.example/")
    from pkgutil import resolve_name

    assert callable(resolve_name(settings.WEBHOOK_WAKER))
    assert Delivery.objects.count() == 1


def test_what_was_handed_out_is_not_due_for_a_minute(alice, woken, later):
    (delivery,) = publish(alice, callback_url="https://call.example/")
    assert selectors.due_deliveries() == [delivery]
    services.mark_enqueued([delivery])
    assert selectors.due_deliveries() == []
    later(timedelta(seconds=61))  # its message was lost with the broker's memory
    assert selectors.due_deliveries() == [delivery]


def test_one_address_cannot_fill_a_round(alice, woken):
    for _ in range(25):
        publish(alice, callback_url="https://slow.example/")
    publish(alice, callback_url="https://fast.example/")
    due = selectors.due_deliveries()
    assert len(due) == 21


def test_only_what_is_finished_and_old_is_deleted(alice, woken, later, settings):
    for _ in range(2):
        publish(alice, callback_url="https://call.example/")
    Delivery.objects.filter(pk=Delivery.objects.first().pk).update(status="succeeded")
    assert services.expire() == 0
    later(timedelta(days=settings.WEBHOOK_RETENTION_DAYS + 1))
    assert services.expire() == 1
    assert Delivery.objects.get().status == "pending"


def test_what_is_erased_leaves_its_metadata_out_of_sent_and_waiting_events(alice, mallory, woken):
    secret = {"phone": "4711"}
    for owner in (alice, mallory):
        make(owner)
        publish(owner, "session.ended", {"id": "ses_1", "metadata": secret})
    publish(alice, "recording.ready", {"id": "rec_1", "session": "ses_1", "metadata": secret})
    publish(alice, "session.ended", {"id": "ses_12", "metadata": secret})
    Delivery.objects.filter(event_type="recording.ready").update(
        status="succeeded", response_snippet="got 4711"
    )
    services.redact(alice.pk, "ses_1")
    told = {}
    for row in Delivery.objects.filter(owner=alice):
        data = json.loads(row.body)["data"]
        told[data["id"]] = data
    assert told["ses_1"] == {"id": "ses_1", "metadata": {}}
    assert told["rec_1"] == {"id": "rec_1", "session": "ses_1", "metadata": {}}
    assert told["ses_12"]["metadata"] == secret
    sent = Delivery.objects.get(status="succeeded")
    assert sent.response_snippet == "", "some receivers send back what they were sent"
    assert "4711" in Delivery.objects.get(owner=mallory).body
