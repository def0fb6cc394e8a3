"""Celery entry points of the webhooks."""

from celery import shared_task

from project import context
from project.webhooks import delivery, selectors, services
from workers import dispatch


@shared_task(name=dispatch.DELIVER_DUE)
def deliver_due() -> None:
    """Hand out whatever is due; one message each, so that a slow server holds up only its own."""
    due = selectors.due_deliveries()
    services.mark_enqueued(due)
    for delivery_id in due:
        dispatch.deliver_webhook(delivery_id)


@shared_task(name=dispatch.DELIVER)
def deliver(delivery_id: str) -> None:
    with context.about(delivery=delivery_id):
        delivery.deliver(delivery_id)
