"""Webhooks in the admin: looking and switching off; deliveries are the service's own record."""

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from project.webhooks.models import Delivery, WebhookEndpoint


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ModelAdmin):
    list_display = ["url", "owner", "enabled", "disabled_reason", "last_success_at", "created_at"]
    list_filter = ["enabled"]
    search_fields = ["id", "url", "owner__email"]
    readonly_fields = ["id", "owner", "url", "events", "disabled_reason", "last_success_at", "created_at"]
    list_select_related = ["owner"]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        return False


@admin.register(Delivery)
class DeliveryAdmin(ModelAdmin):
    list_display = ["event_type", "url", "owner", "status", "attempts", "response_status", "created_at"]
    list_filter = ["status", "event_type"]
    search_fields = ["id", "event_id", "url", "owner__email"]
    list_select_related = ["owner"]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002
        return False
