"""Sending one delivery: take it, sign it, post it, write down what happened."""

import json
import secrets
import time
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from project import tracing
from project.accounts import signing
from project.api.net import SNIPPET_BYTES, Answer, safe_post
from project.errors import InvalidInput, Unavailable
from project.metrics import instruments
from project.webhooks.models import LEASE, Delivery, DeliveryStatus, WebhookEndpoint
from project.webhooks.schedule import MAX_ATTEMPTS, Outcome, next_attempt, retry_after

TIMEOUT_SECONDS = 15.0
LOG_ENTRIES = 30


def deliver(delivery_id: str) -> bool:
    """Make one attempt; False when there was nothing to do (done, not due, or in other hands)."""
    token = _take(delivery_id)
    if token is None:
        return False
    delivery = Delivery.objects.select_related("owner", "endpoint").get(pk=delivery_id)
    started = time.monotonic()
    with tracing.span("webhook", plan=_plan(delivery), event=delivery.event_type) as span:
        outcome = _attempt(delivery)
        span.set(status=outcome.status, attempt=delivery.attempts)
        if not outcome.succeeded:
            span.fail("webhook_failed")
    took = time.monotonic() - started
    instruments.webhooks.labels(_named(outcome)).observe(took)
    _settle(delivery, token, outcome, took_ms=round(took * 1000))
    return True


def _named(outcome: Outcome) -> str:
    if outcome.succeeded:
        return "delivered"
    return "unreachable" if outcome.status is None else "refused"


def sign(delivery: Delivery, *, at: datetime) -> dict[str, str]:
    """The three headers of Standard Webhooks; during a rotation with two signatures."""
    endpoint, owner = delivery.endpoint, delivery.owner
    if endpoint is not None:
        keys = signing.secrets_in_force(endpoint.pk, endpoint.secret_version, endpoint.secret_rotated_at)
    else:
        keys = signing.secrets_in_force(
            owner.pk, owner.callback_secret_version, owner.callback_secret_rotated_at
        )
    timestamp = int(at.timestamp())
    body = delivery.body.encode()
    signatures = [
        signing.signature(key, message_id=delivery.event_id, timestamp=timestamp, body=body) for key in keys
    ]
    return {
        "webhook-id": delivery.event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def _take(delivery_id: str) -> str | None:
    """Lease the delivery and count the attempt, so that one that kills its worker runs out too."""
    now, token = timezone.now(), secrets.token_hex(16)
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    due = Delivery.objects.filter(
        free, pk=delivery_id, status=DeliveryStatus.PENDING, next_attempt_at__lte=now
    )
    taken = due.update(lease_token=token, lease_until=now + LEASE, attempts=F("attempts") + 1)
    return token if taken else None


def _attempt(delivery: Delivery) -> Outcome:
    if delivery.attempts > MAX_ATTEMPTS:
        return Outcome(error="Every attempt was cut short.", permanent=True)
    if delivery.endpoint is not None and not delivery.endpoint.enabled:
        return Outcome(error="The endpoint is switched off.", permanent=True)
    if not delivery.owner.is_active:
        return Outcome(error="The account is switched off.", permanent=True)
    headers = {**sign(delivery, at=timezone.now()), "Content-Type": "application/json"}
    try:
        answer = safe_post(
            delivery.url, content=delivery.body.encode(), headers=headers, timeout=TIMEOUT_SECONDS
        )
    except (InvalidInput, Unavailable) as exc:
        # A forbidden address may be a passing mistake in someone's DNS, so it is tried again too.
        return Outcome(error=str(exc)[:200])
    return _judge(answer)


def _judge(answer: Answer) -> Outcome:
    text = answer.body[:SNIPPET_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")
    good = 200 <= answer.status < 300
    return Outcome(
        status=answer.status,
        snippet=text,
        error="" if good else f"The server answered {answer.status}.",
        retry_after=retry_after(answer.headers, now=timezone.now()),
    )


def _plan(delivery: Delivery) -> tracing.Plan | None:
    """Whose trace it belongs to: that of the clip which it tells of."""
    if not delivery.event_type.startswith("clip."):
        return None
    return tracing.clip(str(json.loads(delivery.body)["data"].get("id")))


@transaction.atomic
def _settle(delivery: Delivery, token: str, outcome: Outcome, *, took_ms: int) -> None:
    """Write the outcome, unless the lease lapsed and somebody else took over."""
    now = timezone.now()
    again = next_attempt(outcome, attempts=delivery.attempts, now=now)
    status = DeliveryStatus.PENDING if again else DeliveryStatus.FAILED
    if outcome.succeeded:
        status = DeliveryStatus.SUCCEEDED
    entry = {
        "at": now.isoformat(),
        "status": outcome.status,
        "error": outcome.error,
        "took_ms": took_ms,
    }
    ours = Delivery.objects.filter(pk=delivery.pk, lease_token=token)
    written = ours.update(
        status=status,
        next_attempt_at=again,
        finished_at=None if again else now,
        response_status=outcome.status,
        response_snippet=outcome.snippet,
        error=outcome.error,
        log=[*delivery.log, entry][-LOG_ENTRIES:],
        lease_token="",
        lease_until=None,
        enqueued_at=None,
    )
    if written and delivery.endpoint_id is not None:
        _judge_endpoint(delivery, outcome, over=status == DeliveryStatus.FAILED, now=now)


def _judge_endpoint(delivery: Delivery, outcome: Outcome, *, over: bool, now: datetime) -> None:
    """Note a success; switch off an endpoint that is gone, or has failed for all of three days."""
    endpoints = WebhookEndpoint.objects.filter(pk=delivery.endpoint_id)
    if outcome.succeeded:
        endpoints.update(last_success_at=now)
    elif outcome.gone:
        endpoints.update(enabled=False, disabled_reason="gone")
    elif over and not outcome.permanent:
        silent = Q(last_success_at=None) | Q(last_success_at__lt=delivery.created_at)
        endpoints.filter(silent, enabled=True).update(enabled=False, disabled_reason="failing")
