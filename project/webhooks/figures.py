"""Figures of the webhooks that wait, for `/metrics`."""

from collections.abc import Iterable

from django.db.models import Count, Min, Q
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from project.webhooks.models import Delivery, DeliveryStatus


def waiting() -> Iterable[Metric]:
    """How many deliveries are not over, how many of them are due, and for how long the first one has been."""
    now = timezone.now()
    rows = Delivery.objects.filter(status=DeliveryStatus.PENDING)
    found = rows.aggregate(
        pending=Count("pk"), due=Count("pk", filter=Q(next_attempt_at__lte=now)), first=Min("next_attempt_at")
    )
    deliveries = GaugeMetricFamily(
        "parley_webhooks_waiting", "Webhooks that are not delivered yet", labels=["state"]
    )
    deliveries.add_metric(["due"], found["due"])
    deliveries.add_metric(["later"], found["pending"] - found["due"])
    late = GaugeMetricFamily("parley_webhooks_late_seconds", "How long the first webhook has been due")
    late.add_metric([], max(0.0, (now - found["first"]).total_seconds()) if found["first"] else 0.0)
    yield from (deliveries, late)
