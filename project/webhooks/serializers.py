"""The JSON of webhook endpoints and deliveries."""

import json
from typing import Any

from rest_framework import serializers

from project.webhooks.events import SUBSCRIBABLE
from project.webhooks.models import Delivery, DeliveryStatus, WebhookEndpoint


class EndpointInput(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=2000)
    events = serializers.ListField(
        child=serializers.CharField(max_length=60),
        required=False,
        max_length=len(SUBSCRIBABLE),
        help_text="Left out or empty: every event",
    )
    description = serializers.CharField(max_length=200, required=False, allow_blank=True)
    enabled = serializers.BooleanField(required=False)


class EndpointOutput(serializers.Serializer[WebhookEndpoint]):
    id = serializers.CharField()
    url = serializers.CharField()
    events = serializers.ListField(child=serializers.CharField())
    description = serializers.CharField()
    enabled = serializers.BooleanField()
    disabled_reason = serializers.SerializerMethodField(
        help_text="by_owner, gone (it answered 410) or failing (no success for three days)"
    )
    last_success_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()

    def get_disabled_reason(self, endpoint: WebhookEndpoint) -> str | None:
        return endpoint.disabled_reason or None


class FreshEndpointOutput(EndpointOutput):
    secret = serializers.CharField(help_text="Checks our signatures. Shown now and never again")


class AttemptOutput(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    took_ms = serializers.IntegerField()


class DeliveryOutput(serializers.Serializer[Delivery]):
    id = serializers.CharField()
    endpoint = serializers.CharField(source="endpoint_id", allow_null=True)
    url = serializers.CharField()
    event_id = serializers.CharField(help_text="The webhook-id header; the same on every attempt")
    event_type = serializers.CharField()
    status = serializers.ChoiceField(choices=DeliveryStatus.choices)
    attempts = serializers.IntegerField()
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    response_status = serializers.IntegerField(allow_null=True)
    response_snippet = serializers.CharField(help_text="How the last answer began")
    error = serializers.SerializerMethodField()
    log = AttemptOutput(many=True)
    payload = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_error(self, delivery: Delivery) -> str | None:
        return delivery.error or None

    def get_payload(self, delivery: Delivery) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(delivery.body)
        return payload
