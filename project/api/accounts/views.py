"""REST: the account itself and its API keys."""

from datetime import timedelta

from django.db.models import F, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from project.accounts import keys, permissions, signing
from project.accounts.models import ApiKey, User
from project.accounts.permissions import caller
from project.accounts.scopes import grantable
from project.api.accounts.serializers import (
    ApiKeyInput,
    ApiKeyOutput,
    FreshApiKeyOutput,
    MeOutput,
    RotationInput,
    SecretOutput,
    me,
)
from project.api.pagination import NewestFirst
from project.errors import NotAllowed, NotFound


class MeView(APIView):
    required_scopes = {"GET": None}

    @extend_schema(operation_id="me", summary="See your account", responses=MeOutput, tags=["account"])
    def get(self, request: Request) -> Response:
        return Response(me(caller(request), request.auth if isinstance(request.auth, ApiKey) else None))


class CallbackSecretView(APIView):
    required_scopes = {"POST": "account:write"}

    @extend_schema(
        operation_id="rotate_callback_secret",
        summary="Make a new secret for callback_url",
        description="Messages to a `callback_url` are signed with it. This is also how you first get it.",
        request=None,
        responses=SecretOutput,
        tags=["account"],
    )
    def post(self, request: Request) -> Response:
        now = timezone.now()
        User.objects.filter(pk=request.user.pk).update(
            callback_secret_version=F("callback_secret_version") + 1, callback_secret_rotated_at=now
        )
        user = User.objects.get(pk=request.user.pk)
        secret = signing.secret(user.pk, user.callback_secret_version)
        return Response({"secret": secret, "previous_valid_until": now + signing.ROTATION_OVERLAP})


class ApiKeysView(APIView):
    required_scopes = {"GET": "account:read", "POST": "account:write"}
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="list_api_keys",
        summary="List your API keys",
        responses=ApiKeyOutput(many=True),
        tags=["api keys"],
    )
    def get(self, request: Request) -> Response:
        return NewestFirst.answer(request, _own(request), lambda key: ApiKeyOutput(key).data)

    @extend_schema(
        operation_id="create_api_key",
        summary="Make an API key",
        request=ApiKeyInput,
        responses={201: FreshApiKeyOutput},
        tags=["api keys"],
    )
    def post(self, request: Request) -> Response:
        body = ApiKeyInput(data=request.data)
        body.is_valid(raise_exception=True)
        wanted = body.validated_data
        scopes = wanted.get("scopes")
        if scopes is None:
            scopes = [s for s in grantable(is_staff=request.user.is_staff) if permissions.holds(request, s)]
        keys.check(caller(request), scopes, wanted["expires_at"])
        _may_grant(request, scopes)
        key, text = keys.create(
            caller(request), name=wanted["name"], scopes=scopes, expires_at=wanted["expires_at"]
        )
        return _fresh(key, text)


class ApiKeyView(APIView):
    required_scopes = {"GET": "account:read", "DELETE": "account:write"}

    @extend_schema(
        operation_id="get_api_key", summary="See an API key", responses=ApiKeyOutput, tags=["api keys"]
    )
    def get(self, request: Request, key_id: str) -> Response:
        return Response(ApiKeyOutput(_find(request, key_id)).data)

    @extend_schema(
        operation_id="revoke_api_key",
        summary="Revoke an API key",
        description="It stops working at once. Doing it twice is no error.",
        responses={204: None},
        tags=["api keys"],
    )
    def delete(self, request: Request, key_id: str) -> Response:
        keys.revoke(_find(request, key_id))
        return Response(status=204)


class ApiKeyRotateView(APIView):
    required_scopes = {"POST": "account:write"}

    @extend_schema(
        operation_id="rotate_api_key",
        summary="Replace an API key",
        description="The new key has the same name, scopes and expiry. The old one works on for a while.",
        request=RotationInput,
        responses={201: FreshApiKeyOutput},
        tags=["api keys"],
    )
    def post(self, request: Request, key_id: str) -> Response:
        body = RotationInput(data=request.data)
        body.is_valid(raise_exception=True)
        key = _find(request, key_id)
        _may_grant(request, key.scopes)
        overlap = timedelta(seconds=body.validated_data["overlap_seconds"])
        return _fresh(*keys.rotate(key, overlap=overlap))


def _own(request: Request) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(owner=caller(request))


def _find(request: Request, key_id: str) -> ApiKey:
    key = _own(request).filter(pk=key_id).select_related("owner").first()
    if key is None:
        raise NotFound("There is no such API key.")
    return key


def _may_grant(request: Request, scopes: list[str]) -> None:
    """A key hands on no more than it has itself."""
    for scope in scopes:
        if not permissions.holds(request, scope):
            raise NotAllowed(
                f"This API key lacks the scope {scope}, so it cannot grant it.", code="missing_scope"
            )


def _fresh(key: ApiKey, text: str) -> Response:
    location = f"/api/v1/api-keys/{key.pk}"
    return Response({**ApiKeyOutput(key).data, "key": text}, status=201, headers={"Location": location})
