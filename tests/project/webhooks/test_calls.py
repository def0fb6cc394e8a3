"""Webhook endpoints and deliveries over REST."""

import pytest
from standardwebhooks import Webhook

from project.webhooks import services
from project.webhooks.delivery import deliver
from project.webhooks.models import Delivery, WebhookEndpoint
from tests.support.servers import reply

URL = "/api/v1/webhook-endpoints"


@pytest.fixture
def api(alice, as_user, dns, woken):
    dns["hooks.example"] = ["93.184.216.34"]
    dns["inside.example"] = ["10.0.0.1"]
    return as_user(alice)


@pytest.fixture
def made(api):
    return api.post(URL, {"url": "https://hooks.example/in", "events": ["clip.failed"]}).json()


def test_an_endpoint_is_made_and_its_secret_shown_once(api):
    answer = api.post(URL, {"url": "https://hooks.example/in"})
    assert answer.status_code == 201
    body = answer.json()
    assert body["secret"].startswith("whsec_")
    assert (body["enabled"], body["events"], body["disabled_reason"]) == (True, [], None)
    again = api.get(answer["Location"]).json()
    assert "secret" not in again
    assert body["secret"] not in str(api.get(URL).json())
    assert body["secret"].removeprefix("whsec_") not in str(WebhookEndpoint.objects.values().get())


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({}, "required", "/url"),
        ({"url": "hooks.example"}, "invalid_url", "/url"),
        ({"url": "http://127.0.0.1:8000/"}, "address_not_allowed", "/url"),
        ({"url": "http://169.254.169.254/"}, "address_not_allowed", "/url"),
        ({"url": "https://inside.example/"}, "address_not_allowed", "/url"),
        ({"url": "https://unknown.example/"}, "address_not_found", "/url"),
        ({"url": "https://hooks.example/", "events": ["clip.exploded"]}, "unknown_event", "/events/0"),
        ({"url": "https://hooks.example/", "events": ["webhook.test"]}, "unknown_event", "/events/0"),
    ],
)  # fmt: skip
def test_bad_endpoints_are_pointed_at(api, body, code, pointer):
    answer = api.post(URL, body)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert (error["code"], error["pointer"]) == (code, pointer)
    assert not WebhookEndpoint.objects.exists()


def test_there_is_a_most_an_account_may_have(api, monkeypatch):
    monkeypatch.setattr(services, "MAX_ENDPOINTS", 2)
    statuses = [api.post(URL, {"url": "https://hooks.example/in"}).status_code for _ in range(3)]
    assert statuses == [201, 201, 409]


def test_an_endpoint_is_changed_and_the_new_address_checked(api, made):
    url = f"{URL}/{made['id']}"
    assert api.patch(url, {"events": [], "enabled": False}).json()["disabled_reason"] == "by_owner"
    assert api.patch(url, {"enabled": True}).json()["disabled_reason"] is None
    answer = api.patch(url, {"url": "https://inside.example/"})
    assert (answer.status_code, answer.json()["code"]) == (400, "address_not_allowed")
    assert api.get(url).json()["url"] == "https://hooks.example/in"


def test_an_endpoint_goes_with_its_deliveries(api, made, alice):
    services.publish(alice, "clip.failed", {"id": "c"})
    assert api.delete(f"{URL}/{made['id']}").status_code == 204
    assert api.get(f"{URL}/{made['id']}").status_code == 404
    assert not Delivery.objects.exists()


def test_rotation_gives_a_new_secret(api, made):
    body = api.post(f"{URL}/{made['id']}/rotate-secret").json()
    assert body["secret"] != made["secret"]
    assert body["previous_valid_until"]


def test_strangers_find_nothing(made, alice, mallory, as_user):
    (delivery,) = services.publish(alice, "clip.failed", {"id": "c"})
    stranger = as_user(mallory)
    base = f"{URL}/{made['id']}"
    assert stranger.get(URL).json()["results"] == []
    assert stranger.get("/api/v1/callback-deliveries").json()["results"] == []
    for method, path in [
        ("get", base), ("patch", base), ("delete", base), ("post", f"{base}/rotate-secret"),
        ("post", f"{base}/test"), ("get", f"{base}/deliveries"), ("get", f"{base}/deliveries/{delivery}"),
        ("post", f"{base}/deliveries/{delivery}/replay"), ("get", f"/api/v1/callback-deliveries/{delivery}"),
    ]:  # fmt: skip
        assert getattr(stranger, method)(path, {} if method != "get" else None).status_code == 404, path
    assert WebhookEndpoint.objects.filter(pk=made["id"], secret_version=1).exists()


def test_a_test_event_arrives_signed(api, endpoint, server, alice):
    answer = api.post(f"{URL}/{endpoint.pk}/test")
    assert answer.status_code == 202
    assert deliver(answer.json()["id"])
    (seen,) = server.seen
    headers = {name.lower(): value for name, value in seen.headers.items()}
    body = Webhook(services.endpoint_secret(endpoint)).verify(seen.body, headers)
    assert body["type"] == "webhook.test"


def test_an_endpoint_that_is_off_takes_no_test(api, made):
    api.patch(f"{URL}/{made['id']}", {"enabled": False})
    answer = api.post(f"{URL}/{made['id']}/test")
    assert (answer.status_code, answer.json()["code"]) == (409, "endpoint_disabled")


def test_deliveries_are_listed_filtered_and_replayed(api, endpoint, server, alice):
    (first,) = services.publish(alice, "clip.succeeded", {"id": "a"})
    (second,) = services.publish(alice, "clip.failed", {"id": "b"})
    server.answer = reply(410)
    deliver(first)
    base = f"{URL}/{endpoint.pk}/deliveries"
    listed = api.get(base).json()["results"]
    assert [(row["id"], row["status"]) for row in listed] == [(second, "pending"), (first, "failed")]
    assert [row["id"] for row in api.get(f"{base}?status=failed").json()["results"]] == [first]
    assert api.get(f"{base}?status=odd").json()["code"] == "invalid_status"

    answer = api.post(f"{base}/{first}/replay")  # gone had switched the endpoint off
    assert (answer.status_code, answer.json()["code"]) == (409, "endpoint_disabled")
    services.update_endpoint(endpoint, {"enabled": True})
    assert api.post(f"{base}/{first}/replay").status_code == 202
    assert api.post(f"{base}/{first}/replay").json()["code"] == "delivery_pending"
    server.answer = reply(200)
    deliver(first)
    shown = api.get(f"{base}/{first}").json()
    assert (shown["status"], shown["attempts"]) == ("succeeded", 1)
    assert [entry["status"] for entry in shown["log"]] == [410, 200]
    assert shown["payload"]["data"] == {"id": "a"}
    assert server.seen[0].headers["webhook-id"] == server.seen[1].headers["webhook-id"]


def test_callbacks_have_a_log_of_their_own(api, endpoint, server, alice):
    services.publish(alice, "clip.failed", {"id": "b"}, f"http://127.0.0.1:{server.port}/c")
    (row,) = api.get("/api/v1/callback-deliveries").json()["results"]
    assert row["endpoint"] is None
    deliver(row["id"])
    assert api.get(f"/api/v1/callback-deliveries/{row['id']}").json()["status"] == "succeeded"
    assert api.post(f"/api/v1/callback-deliveries/{row['id']}/replay").status_code == 202
