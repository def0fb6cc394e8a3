"""Webhook endpoints, and the outbox of what is to be told to them."""

from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from project.ids import new_id


class WebhookEndpoint(models.Model):
    """An address of a customer's server, told about the events it asked for."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "whe"), editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhook_endpoints"
    )
    url = models.URLField(max_length=2000)
    description = models.CharField(max_length=200, blank=True)
    events = models.JSONField(default=list, blank=True, help_text="Empty means every event")
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=40, blank=True)
    secret_version = models.PositiveIntegerField(default=1, editable=False)
    secret_rotated_at = models.DateTimeField(null=True, editable=False)
    last_success_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["owner", "-created_at", "-id"], name="endpoint_newest_first")]

    def __str__(self) -> str:
        return self.url

    def wants(self, event_type: str) -> bool:
        return self.enabled and (not self.events or event_type in self.events)


class DeliveryStatus(models.TextChoices):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Delivery(models.Model):
    """One event on its way to one address. Written in the transaction that made the event true.

    `body` is the exact text that is signed and sent, the same on every attempt; only erasing what it
    tells of takes the metadata out.
    """

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "whd"), editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    endpoint = models.ForeignKey(
        WebhookEndpoint,
        on_delete=models.CASCADE,
        related_name="deliveries",
        null=True,
        help_text="Empty for a callback_url",
    )
    url = models.URLField(max_length=2000)
    event_id = models.CharField(max_length=40)
    event_type = models.CharField(max_length=60)
    body = models.TextField()
    status = models.CharField(max_length=10, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, default=timezone.now)
    response_status = models.PositiveSmallIntegerField(null=True)
    response_snippet = models.CharField(max_length=1024, blank=True)
    error = models.CharField(max_length=200, blank=True)
    # [{"at", "status", "error", "took_ms"}], the newest last, bounded
    log = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True)
    enqueued_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(fields=["endpoint", "-created_at", "-id"], name="delivery_of_endpoint"),
            models.Index(fields=["owner", "-created_at", "-id"], name="delivery_of_owner"),
            models.Index(fields=["next_attempt_at"], condition=Q(status="pending"), name="delivery_due"),
            models.Index(fields=["created_at"], name="delivery_age"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=DeliveryStatus.values), name="delivery_status_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.event_type} to {self.url}"


# A worker that holds a delivery for longer than this is taken for dead.
LEASE = timedelta(seconds=60)
