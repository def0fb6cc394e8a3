"""REST addresses of webhooks, below /api/v1/."""

from django.urls import URLPattern, path

from project.webhooks import api

ENDPOINT = "webhook-endpoints/<str:endpoint_id>"


def deliveries(base: str, name: str) -> list[URLPattern]:
    """The deliveries below an endpoint, or those to callback_urls."""
    return [
        path(base, api.DeliveriesView.as_view(), name=name),
        path(f"{base}/<str:delivery_id>", api.DeliveryView.as_view()),
        path(f"{base}/<str:delivery_id>/replay", api.ReplayView.as_view()),
    ]


urlpatterns = [
    path("webhook-endpoints", api.EndpointsView.as_view(), name="webhook-endpoints"),
    path(ENDPOINT, api.EndpointView.as_view(), name="webhook-endpoint"),
    path(f"{ENDPOINT}/rotate-secret", api.RotateSecretView.as_view()),
    path(f"{ENDPOINT}/test", api.TestEndpointView.as_view()),
    *deliveries(f"{ENDPOINT}/deliveries", "webhook-deliveries"),
    *deliveries("callback-deliveries", "callback-deliveries"),
]
