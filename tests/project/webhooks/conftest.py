import pytest

from project.webhooks import services
from project.webhooks.models import WebhookEndpoint
from tests.support.servers import http_server


@pytest.fixture
def server():
    with http_server() as running:
        yield running


@pytest.fixture
def woken(monkeypatch):
    """How often the queue was woken."""
    calls = []
    monkeypatch.setattr(services, "_wake", lambda: calls.append(1))
    return calls


@pytest.fixture
def endpoint(alice, server, settings, woken):
    """Alice's endpoint at a server on this machine, which the settings allow for once."""
    settings.EGRESS_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    return WebhookEndpoint.objects.create(owner=alice, url=f"http://127.0.0.1:{server.port}/hook")
