"""The tasks of the webhooks, run in place."""

import pytest
from celery import current_app

from project.accounts.models import User
from project.webhooks import services
from project.webhooks.models import Delivery
from tests.support.servers import http_server
from workers.tasks import webhooks


@pytest.fixture
def in_place():
    """Messages run where they are sent."""
    before = current_app.conf.task_always_eager
    current_app.conf.task_always_eager = True
    yield
    current_app.conf.task_always_eager = before


@pytest.fixture
def server(settings):
    settings.EGRESS_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    with http_server() as running:
        yield running


def queue(monkeypatch, server, number):
    monkeypatch.setattr(services, "_wake", lambda: None)
    owner = User.objects.create_user("alice@example.org", "a long password")
    for index in range(number):
        services.publish(owner, "clip.succeeded", {"id": str(index)}, f"http://127.0.0.1:{server.port}/")


@pytest.mark.django_db(transaction=True)
def test_a_round_delivers_all_that_is_due(monkeypatch, server, in_place):
    queue(monkeypatch, server, 3)
    webhooks.deliver_due.delay()
    assert len(server.seen) == 3
    assert set(Delivery.objects.values_list("status", flat=True)) == {"succeeded"}
    webhooks.deliver_due.delay()
    assert len(server.seen) == 3


@pytest.mark.django_db(transaction=True)
def test_publishing_starts_a_round_by_itself(server, in_place):
    owner = User.objects.create_user("alice@example.org", "a long password")
    services.publish(owner, "clip.succeeded", {"id": "x"}, f"http://127.0.0.1:{server.port}/")
    assert Delivery.objects.get().status == "succeeded"


@pytest.mark.django_db(transaction=True)
def test_without_a_broker_the_outbox_keeps_everything(server):
    owner = User.objects.create_user("alice@example.org", "a long password")
    services.publish(owner, "clip.succeeded", {"id": "x"}, f"http://127.0.0.1:{server.port}/")
    assert Delivery.objects.get().status == "pending"
