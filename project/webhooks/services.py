"""Endpoints, and the outbox: `publish` writes in the caller's transaction, `deliver` sends.

A delivery is sent at least once. It is taken under a lease by a conditional update; a worker that
dies leaves the lease to lapse and the row due. The receiver tells repeats by `webhook-id`.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from pkgutil import resolve_name
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from project.accounts import signing
from project.accounts.models import User
from project.api.net import check_url
from project.errors import Conflict, InvalidInput
from project.ids import new_id
from project.webhooks.events import SUBSCRIBABLE
from project.webhooks.models import Delivery, DeliveryStatus, WebhookEndpoint

logger = logging.getLogger(__name__)

MAX_ENDPOINTS = 20
MAX_BODY_BYTES = 20_000
_TOLD = ("metadata", "reason")  # what owners and customers said themselves


def publish(
    owner: User, event_type: str, data: Mapping[str, Any], callback_url: str | None = None
) -> list[str]:
    """Put an event into the outbox, for every endpoint that wants it and for `callback_url`.

    Call it inside the transaction that makes the event true. Returns the ids of the deliveries;
    the queue is woken when the transaction commits.
    """
    endpoints = [e for e in WebhookEndpoint.objects.filter(owner=owner, enabled=True) if e.wants(event_type)]
    targets: list[tuple[WebhookEndpoint | None, str]] = [(e, e.url) for e in endpoints]
    if callback_url:
        targets.append((None, callback_url))
    return _queue(owner, event_type, data, targets)


def publish_test(endpoint: WebhookEndpoint) -> str:
    """Queue a `webhook.test` event to this endpoint alone; returns the delivery's id."""
    if not endpoint.enabled:
        raise Conflict("This endpoint is switched off.", code="endpoint_disabled")
    data = {"endpoint": endpoint.pk, "message": "This is a test. Your endpoint works if you can read it."}
    return _queue(endpoint.owner, "webhook.test", data, [(endpoint, endpoint.url)])[0]


@transaction.atomic
def create_endpoint(owner: User, *, url: str, events: Sequence[str] = (), **fields: Any) -> WebhookEndpoint:
    """Add an endpoint. The caller has passed `url` to `check_endpoint_url`, outside a transaction."""
    User.objects.select_for_update(no_key=True).get(pk=owner.pk)
    if WebhookEndpoint.objects.filter(owner=owner).count() >= MAX_ENDPOINTS:
        raise Conflict(f"An account has at most {MAX_ENDPOINTS} endpoints.", code="too_many_endpoints")
    check_events(events)
    return WebhookEndpoint.objects.create(owner=owner, url=url, events=list(events), **fields)


def update_endpoint(endpoint: WebhookEndpoint, changes: Mapping[str, Any]) -> WebhookEndpoint:
    """Change url, events, description or enabled. Switching on forgets why it was off."""
    check_events(changes.get("events", ()))
    fields = dict(changes)
    if "enabled" in fields:
        fields["disabled_reason"] = "" if fields["enabled"] else "by_owner"
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**fields)
    endpoint.refresh_from_db()
    return endpoint


def check_endpoint_url(url: str) -> str:
    return check_url(url, pointer="/url")


def check_events(events: Sequence[str]) -> None:
    for index, event in enumerate(events):
        if event not in SUBSCRIBABLE:
            raise InvalidInput(
                f"There is no event {event!r}.", code="unknown_event", pointer=f"/events/{index}"
            )


def endpoint_secret(endpoint: WebhookEndpoint) -> str:
    return signing.secret(endpoint.pk, endpoint.secret_version)


def rotate_secret(endpoint: WebhookEndpoint) -> str:
    """Give an endpoint a new secret; the old one signs beside it for a day."""
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        secret_version=F("secret_version") + 1, secret_rotated_at=timezone.now()
    )
    endpoint.refresh_from_db()
    return endpoint_secret(endpoint)


def replay(delivery: Delivery) -> Delivery:
    """Send a finished delivery again, with all its attempts before it."""
    if delivery.endpoint is not None and not delivery.endpoint.enabled:
        raise Conflict("This endpoint is switched off.", code="endpoint_disabled")
    finished = Delivery.objects.filter(pk=delivery.pk).exclude(status=DeliveryStatus.PENDING)
    url = delivery.endpoint.url if delivery.endpoint else delivery.url
    changed = finished.update(
        status=DeliveryStatus.PENDING,
        url=url,
        attempts=0,
        next_attempt_at=timezone.now(),
        finished_at=None,
        error="",
        enqueued_at=None,
        lease_until=None,
        lease_token="",
    )
    if not changed:
        raise Conflict("This delivery is still being tried.", code="delivery_pending")
    _wake_after_commit()
    delivery.refresh_from_db()
    return delivery


def mark_enqueued(delivery_ids: Sequence[str]) -> None:
    Delivery.objects.filter(pk__in=delivery_ids).update(enqueued_at=timezone.now())


def redact(owner_id: str, about: str) -> None:
    """Take metadata and reasons out of every event that names the id `about`, sent or waiting to be.

    What a receiver answered goes with it: some send back what they were sent.
    """
    for delivery in Delivery.objects.filter(owner=owner_id, body__contains=f'"{about}"'):
        event = json.loads(delivery.body)
        told = {name: event["data"][name] for name in _TOLD if event["data"].get(name)}
        if told:
            blank = {name: type(value)() for name, value in told.items()}
            body = _encode({**event, "data": {**event["data"], **blank}})
            Delivery.objects.filter(pk=delivery.pk).update(body=body, response_snippet="")


def expire() -> int:
    """Delete finished deliveries past their retention; called by the periodic clean-up."""
    before = timezone.now() - timedelta(days=settings.WEBHOOK_RETENTION_DAYS)
    finished = ~Q(status=DeliveryStatus.PENDING)
    return Delivery.objects.filter(finished, created_at__lt=before).delete()[0]


def _queue(
    owner: User,
    event_type: str,
    data: Mapping[str, Any],
    targets: Sequence[tuple[WebhookEndpoint | None, str]],
) -> list[str]:
    if not targets:
        return []
    now = timezone.now()
    stamp = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event = {"type": event_type, "timestamp": stamp, "data": data}
    body = _encode(event)
    if len(body.encode()) > MAX_BODY_BYTES:
        # Metadata may be large. The receiver fetches what it misses; the event itself must not fail.
        body = _encode({**event, "data": {"id": data.get("id"), "truncated": True}})
    event_id = new_id("evt")
    rows = [
        Delivery(owner=owner, endpoint=e, url=u, event_id=event_id, event_type=event_type, body=body)
        for e, u in targets
    ]
    Delivery.objects.bulk_create(rows)
    _wake_after_commit()
    return [row.pk for row in rows]


def _encode(event: Mapping[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _wake_after_commit() -> None:
    transaction.on_commit(_wake, robust=True)


def _wake() -> None:
    """Ask for a round of deliveries now; without it the schedule starts one within seconds."""
    resolve_name(settings.WEBHOOK_WAKER)()
