"""Providers: who is configured, who answers, and how fast."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation.providers import status
from generation.providers.accounts import KINDS
from project.accounts.permissions import caller, holds


class ProviderError(serializers.Serializer[Any]):
    code = serializers.CharField()
    at = serializers.DateTimeField()


class ProviderKind(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=KINDS)
    place = serializers.IntegerField(allow_null=True, help_text="In the installation's chain, from 1")
    median_first_ms = serializers.FloatField(
        allow_null=True, help_text="To the first sound, word or token, of the last hundred in each process"
    )
    breaker_open = serializers.BooleanField(help_text="Some process leaves it alone for a while")
    served = serializers.IntegerField(required=False, help_text="Staff")
    failed = serializers.IntegerField(required=False, help_text="Staff")
    last_served_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Staff")
    last_error = ProviderError(required=False, allow_null=True, help_text="Staff")


class ProviderOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    licence = serializers.CharField()
    configured = serializers.BooleanField()
    reachable = serializers.BooleanField(allow_null=True, help_text="Null: nobody has looked lately")
    checked_at = serializers.DateTimeField(allow_null=True)
    voices = serializers.IntegerField()
    kinds = ProviderKind(many=True)
    probe = serializers.DictField(required=False, allow_null=True, help_text="Staff")
    listing = serializers.DictField(required=False, allow_null=True, help_text="Staff")
    credentials = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Staff: names of settings"
    )


class ProvidersView(APIView):
    required_scopes = {"GET": "avatars:read"}

    @extend_schema(
        operation_id="providers_list",
        summary="List providers of speech and language, and how they are",
        description="Counts, errors and names of settings are for staff accounts with the scope `admin`.",
        responses=ProviderOut(many=True),
        tags=["providers"],
    )
    def get(self, request: Request) -> Response:
        return Response(status.providers(details=caller(request).is_staff and holds(request, "admin")))
