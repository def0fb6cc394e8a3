"""REST: webhook endpoints and what was delivered to them."""

from typing import Any

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from project.accounts.permissions import caller
from project.accounts.signing import ROTATION_OVERLAP
from project.api.accounts.serializers import SecretOutput
from project.api.pagination import NewestFirst
from project.errors import InvalidInput
from project.webhooks import selectors, services
from project.webhooks.models import Delivery, DeliveryStatus, WebhookEndpoint
from project.webhooks.serializers import DeliveryOutput, EndpointInput, EndpointOutput, FreshEndpointOutput

TAGS = ["webhooks"]
STATUS = OpenApiParameter("status", enum=DeliveryStatus.values, description="Only deliveries in this state")


class EndpointsView(APIView):
    required_scopes = {"GET": "webhooks:read", "POST": "webhooks:write"}
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="list_webhook_endpoints",
        summary="List your webhook endpoints",
        responses=EndpointOutput(many=True),
        tags=TAGS,
    )
    def get(self, request: Request) -> Response:
        return NewestFirst.answer(request, selectors.endpoints_of(caller(request)), _endpoint)

    @extend_schema(
        operation_id="create_webhook_endpoint",
        summary="Add a webhook endpoint",
        request=EndpointInput,
        responses={201: FreshEndpointOutput},
        tags=TAGS,
    )
    def post(self, request: Request) -> Response:
        wanted = _validated(request)
        services.check_endpoint_url(wanted["url"])
        with transaction.atomic():
            endpoint = services.create_endpoint(caller(request), **wanted)
        body = {**_endpoint(endpoint), "secret": services.endpoint_secret(endpoint)}
        location = f"/api/v1/webhook-endpoints/{endpoint.pk}"
        return Response(body, status=201, headers={"Location": location})


class EndpointView(APIView):
    required_scopes = {"GET": "webhooks:read", "PATCH": "webhooks:write", "DELETE": "webhooks:write"}

    @extend_schema(
        operation_id="get_webhook_endpoint",
        summary="See a webhook endpoint",
        responses=EndpointOutput,
        tags=TAGS,
    )
    def get(self, request: Request, endpoint_id: str) -> Response:
        return Response(_endpoint(selectors.endpoint_of(caller(request), endpoint_id)))

    @extend_schema(
        operation_id="update_webhook_endpoint",
        summary="Change a webhook endpoint",
        request=EndpointInput,
        responses=EndpointOutput,
        tags=TAGS,
    )
    def patch(self, request: Request, endpoint_id: str) -> Response:
        endpoint = selectors.endpoint_of(caller(request), endpoint_id)
        changes = _validated(request, partial=True)
        if "url" in changes:
            services.check_endpoint_url(changes["url"])
        return Response(_endpoint(services.update_endpoint(endpoint, changes)))

    @extend_schema(
        operation_id="delete_webhook_endpoint",
        summary="Delete a webhook endpoint and its deliveries",
        responses={204: None},
        tags=TAGS,
    )
    def delete(self, request: Request, endpoint_id: str) -> Response:
        selectors.endpoint_of(caller(request), endpoint_id).delete()
        return Response(status=204)


class RotateSecretView(APIView):
    required_scopes = {"POST": "webhooks:write"}

    @extend_schema(
        operation_id="rotate_webhook_secret",
        summary="Make a new secret for an endpoint",
        description="For a day, every message carries a signature of the old and one of the new secret.",
        request=None,
        responses=SecretOutput,
        tags=TAGS,
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        secret = services.rotate_secret(selectors.endpoint_of(caller(request), endpoint_id))
        return Response({"secret": secret, "previous_valid_until": timezone.now() + ROTATION_OVERLAP})


class TestEndpointView(APIView):
    required_scopes = {"POST": "webhooks:write"}

    @extend_schema(
        operation_id="test_webhook_endpoint",
        summary="Send a test event",
        request=None,
        responses={202: DeliveryOutput},
        tags=TAGS,
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        endpoint = selectors.endpoint_of(caller(request), endpoint_id)
        with transaction.atomic():
            delivery_id = services.publish_test(endpoint)
        delivery = selectors.delivery_of(caller(request), endpoint_id, delivery_id)
        return Response(DeliveryOutput(delivery).data, status=202)


class DeliveriesView(APIView):
    """Deliveries to an endpoint; without an endpoint in the address, those to callback_urls."""

    required_scopes = {"GET": "webhooks:read"}
    pagination_class = NewestFirst

    @extend_schema(
        summary="List deliveries, newest first",
        parameters=[STATUS],
        responses=DeliveryOutput(many=True),
        tags=TAGS,
    )
    def get(self, request: Request, endpoint_id: str | None = None) -> Response:
        rows = Delivery.objects.filter(owner=caller(request), endpoint=endpoint_id)
        if endpoint_id is not None:
            selectors.endpoint_of(caller(request), endpoint_id)
        if status := request.query_params.get("status"):
            if status not in DeliveryStatus.values:
                raise InvalidInput(f"There is no status {status!r}.", code="invalid_status")
            rows = rows.filter(status=status)
        return NewestFirst.answer(request, rows, lambda row: DeliveryOutput(row).data)


class DeliveryView(APIView):
    required_scopes = {"GET": "webhooks:read"}

    @extend_schema(summary="See a delivery", responses=DeliveryOutput, tags=TAGS)
    def get(self, request: Request, delivery_id: str, endpoint_id: str | None = None) -> Response:
        return Response(DeliveryOutput(selectors.delivery_of(caller(request), endpoint_id, delivery_id)).data)


class ReplayView(APIView):
    required_scopes = {"POST": "webhooks:write"}

    @extend_schema(
        summary="Send a finished delivery again", request=None, responses={202: DeliveryOutput}, tags=TAGS
    )
    def post(self, request: Request, delivery_id: str, endpoint_id: str | None = None) -> Response:
        delivery = services.replay(selectors.delivery_of(caller(request), endpoint_id, delivery_id))
        return Response(DeliveryOutput(delivery).data, status=202)


def _validated(request: Request, *, partial: bool = False) -> dict[str, Any]:
    body = EndpointInput(data=request.data, partial=partial)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def _endpoint(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return dict(EndpointOutput(endpoint).data)
