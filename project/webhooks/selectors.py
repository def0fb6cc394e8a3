"""Reading across webhook rows."""

from collections import Counter
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from project.accounts.models import User
from project.errors import NotFound
from project.webhooks.models import Delivery, DeliveryStatus, WebhookEndpoint

ENQUEUE_AGAIN_AFTER = timedelta(seconds=60)
PER_ADDRESS = 20  # of one round, so that one slow server cannot fill the queue


def endpoints_of(owner: User) -> QuerySet[WebhookEndpoint]:
    return WebhookEndpoint.objects.filter(owner=owner)


def endpoint_of(owner: User, endpoint_id: str) -> WebhookEndpoint:
    endpoint = endpoints_of(owner).filter(pk=endpoint_id).first()
    if endpoint is None:
        raise NotFound("There is no such webhook endpoint.")
    return endpoint


def delivery_of(owner: User, endpoint_id: str | None, delivery_id: str) -> Delivery:
    """A delivery to an endpoint, or to a callback_url when the endpoint is None."""
    rows = Delivery.objects.filter(owner=owner, endpoint=endpoint_id, pk=delivery_id)
    delivery = rows.select_related("endpoint").first()
    if delivery is None:
        raise NotFound("There is no such delivery.")
    return delivery


def due_deliveries(*, limit: int = 200) -> list[str]:
    """Ids of what is to be sent now, is in nobody's hands and was not enqueued a moment ago."""
    now = timezone.now()
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    unqueued = Q(enqueued_at=None) | Q(enqueued_at__lt=now - ENQUEUE_AGAIN_AFTER)
    pending = Delivery.objects.filter(free, unqueued, status=DeliveryStatus.PENDING)
    rows = pending.filter(next_attempt_at__lte=now).order_by("next_attempt_at")
    seen: Counter[str] = Counter()
    due: list[str] = []
    for delivery_id, url in rows.values_list("pk", "url")[: limit * 5]:
        seen[url] += 1
        if seen[url] <= PER_ADDRESS:
            due.append(delivery_id)
    return due[:limit]
