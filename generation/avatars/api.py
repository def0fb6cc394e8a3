"""REST calls of the catalogue. Views parse, call one service, answer."""

import json
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation.avatars import etags, services
from generation.avatars.models import Avatar, AvatarStatus
from generation.avatars.presenter import avatar_json
from generation.avatars.schemas import AvatarChange, AvatarCreate, AvatarList, AvatarOut, PrepareIn
from generation.avatars.selectors import avatar_get, avatar_list
from generation.avatars.services import Consent
from project.accounts.permissions import caller, require_staff
from project.api.pagination import NewestFirst
from project.api.parsers import StrictJSONParser, check_text
from project.errors import InvalidInput

SCOPES = {
    "GET": "avatars:read",
    "POST": "avatars:write",
    "PATCH": "avatars:write",
    "DELETE": "avatars:write",
}


class AvatarsView(APIView):
    """The catalogue: shared avatars and one's own."""

    required_scopes = SCOPES
    parser_classes = [MultiPartParser, StrictJSONParser]

    @extend_schema(
        operation_id="avatars_list",
        summary="List avatars",
        parameters=[
            OpenApiParameter("status", str, enum=AvatarStatus.values),
            OpenApiParameter("search", str, description="Part of the name or the description"),
            OpenApiParameter("model", str, description="Ready for this model"),
            OpenApiParameter("limit", int),
            OpenApiParameter("cursor", str),
        ],
        responses=AvatarList,
        tags=["avatars"],
    )
    def get(self, request: Request) -> Response:
        status = request.query_params.get("status", "")
        if status and status not in AvatarStatus.values:
            raise InvalidInput(f"There is no status {status!r}.", code="invalid_status")
        search = request.query_params.get("search", "").replace("\x00", "")
        model = request.query_params.get("model", "").replace("\x00", "")
        rows = avatar_list(caller(request), status=status, query=search, model=model)
        return NewestFirst.answer(request, rows, avatar_json)

    @extend_schema(
        operation_id="avatars_create",
        summary="Create an avatar from a portrait or a short video (staff)",
        request={"multipart/form-data": AvatarCreate},
        responses={202: AvatarOut},
        tags=["avatars"],
    )
    def post(self, request: Request) -> Response:
        require_staff(request)
        if "image" not in request.FILES and "video" not in request.FILES:
            raise InvalidInput(
                "Send a picture as `image` or a video as `video`.", code="source_required", pointer="/image"
            )
        form = AvatarCreate(data=_form(request))
        form.is_valid(raise_exception=True)
        told = dict(form.validated_data)
        consent = _consent(told)
        if told.get("models") and not told.get("model"):
            told["model"] = told["models"][0]
        avatar = services.avatar_create(
            None,
            told.pop("name"),
            image=_bytes(request, "image", settings.MAX_IMAGE_BYTES),
            video=_bytes(request, "video", settings.MAX_VIDEO_BYTES),
            consent=consent,
            **told,
        )
        return _answer(avatar, 202, **{"Location": f"/api/v1/avatars/{avatar.pk}", "Retry-After": "2"})


class AvatarView(APIView):
    required_scopes = SCOPES
    parser_classes = [StrictJSONParser]

    @extend_schema(
        operation_id="avatars_get", summary="Show an avatar", responses=AvatarOut, tags=["avatars"]
    )
    def get(self, request: Request, avatar_id: str) -> Response:
        avatar = avatar_get(caller(request), avatar_id)
        if etags.unchanged(request, avatar):
            return Response(status=304, headers={"ETag": etags.etag(avatar)})
        return _answer(avatar)

    @extend_schema(
        operation_id="avatars_change",
        summary="Change an avatar (staff; with If-Match)",
        request=AvatarChange,
        responses=AvatarOut,
        tags=["avatars"],
    )
    def patch(self, request: Request, avatar_id: str) -> Response:
        require_staff(request)
        avatar = avatar_get(caller(request), avatar_id)
        etags.require_match(request, avatar)
        if not isinstance(request.data, dict):
            raise InvalidInput("Send a JSON object.", code="invalid")
        if unknown := set(request.data) - set(AvatarChange().fields):
            name = min(unknown)
            raise InvalidInput(f"{name} cannot be changed.", code="not_editable", pointer=f"/{name}")
        form = AvatarChange(data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        changes = dict(form.validated_data)
        consent, models = _consent(changes), changes.pop("models", None)
        services.avatar_update(avatar, changes, consent, models)
        return _answer(avatar_get(caller(request), avatar.pk))

    @extend_schema(
        operation_id="avatars_archive",
        summary="Archive an avatar (staff); running clips keep what they began with",
        responses={204: None},
        tags=["avatars"],
    )
    def delete(self, request: Request, avatar_id: str) -> Response:
        require_staff(request)
        avatar = avatar_get(caller(request), avatar_id)
        etags.check_match(request, avatar)
        services.avatar_archive(avatar)
        return Response(status=204)


class AvatarPrepareView(APIView):
    required_scopes = SCOPES
    parser_classes = [StrictJSONParser]

    @extend_schema(
        operation_id="avatars_prepare",
        summary="Prepare an avatar again (staff)",
        request=PrepareIn,
        responses={202: AvatarOut},
        tags=["avatars"],
    )
    def post(self, request: Request, avatar_id: str) -> Response:
        require_staff(request)
        avatar = avatar_get(caller(request), avatar_id)
        form = PrepareIn(data=request.data or {})
        form.is_valid(raise_exception=True)
        services.avatar_prepare(avatar, form.validated_data.get("models"))
        return _answer(avatar_get(caller(request), avatar.pk), 202, **{"Retry-After": "2"})


def _answer(avatar: Avatar, status: int = 200, **headers: str) -> Response:
    headers |= {"ETag": etags.etag(avatar), "Cache-Control": "private, no-cache"}
    return Response(avatar_json(avatar), status=status, headers=headers)


def _form(request: Request) -> dict[str, Any]:
    """The text fields of a form; those that hold JSON are parsed."""
    told: Any = request.data
    form: dict[str, Any] = {}
    for name in map(str, AvatarCreate().fields):
        if name not in told or name in ("image", "video"):
            continue
        value = told.getlist(name) if name == "models" and hasattr(told, "getlist") else told[name]
        if name == "models" and isinstance(value, list) and len(value) == 1:
            value = _listed(value[0])
        if name in ("mouth_box", "metadata", "consent") and isinstance(value, str):
            value = _parsed(name, value)
        form[name] = value
    check_text(form)
    return form


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text) if text.strip() else None
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(f"{name} is not JSON.", code="invalid", pointer=f"/{name}") from exc


def _listed(text: Any) -> Any:
    """The models of one form field: JSON, or ids by comma."""
    if not isinstance(text, str) or text.lstrip().startswith("["):
        return _parsed("models", text) if isinstance(text, str) else [text]
    return [name.strip() for name in text.split(",") if name.strip()]


def _bytes(request: Request, name: str, limit: int) -> bytes | None:
    file = request.FILES.get(name)
    if file is None:
        return None
    if file.size is None or file.size > limit:
        raise InvalidInput(
            f"The file may have at most {limit // 1024 // 1024} MB.",
            code=f"{name}_too_large",
            pointer=f"/{name}",
            status=413,
        )
    return bytes(file.read())


def _consent(values: dict[str, Any]) -> Consent | None:
    told = values.pop("consent", serializers.empty)
    if told is serializers.empty:
        return None
    if told is None:
        return Consent(by="")
    return Consent(by=told["by"], text=told.get("text", ""), at=told.get("at"))
