"""Voices, how they sound, and copies of one's own."""

from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.http import HttpResponseRedirect
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation import voice_samples, voices
from generation.api import schemas
from generation.api.uploads import the_file
from generation.providers import accounts, clones
from generation.providers.models import ClonedVoice, CloneStatus
from generation.voices import Voice
from project.accounts.permissions import caller
from project.api.idempotency import once, replay
from project.api.pagination import NewestFirst
from project.errors import Conflict, NotFound

_KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description="Do it once only")
_NOT_THERE = OpenApiResponse(description="`voice_not_found`: there is none, or it is not yours")


class VoicesView(APIView):
    required_scopes = {"GET": "avatars:read", "POST": "clips:write"}
    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="voices_list",
        summary="List voices: your own copies, and those of every provider that is configured",
        parameters=[
            OpenApiParameter("provider", str, description="Id of a provider"),
            OpenApiParameter("language", str, description="`en` is any English, `en-GB` that alone"),
        ],
        responses=schemas.VoiceOut(many=True),
        tags=["voices"],
    )
    def get(self, request: Request) -> Response:
        asked = request.query_params
        found = voices.available(
            caller(request),
            provider=asked.get("provider", "")[:60],
            language=asked.get("language", "")[:20],
        )
        return Response([voice_json(voice) for voice in found])

    @extend_schema(
        operation_id="voices_create",
        summary="Copy a voice from a recording",
        description="With the consent of whom it belongs to; see docs/cloning.md.",
        parameters=[_KEY],
        request={"multipart/form-data": schemas.VoiceWish},
        responses={
            202: schemas.ClonedVoiceOut,
            400: OpenApiResponse(
                description="`invalid`, with the field in `errors`: `consent_required`, `consent_outdated`, "
                "`provider_unknown`, `provider_not_configured`, `too_short`, `too_long`, `sound_silent`"
            ),
            413: OpenApiResponse(description="`too_large`"),
            415: OpenApiResponse(description="`unreadable_media`, `no_audio`"),
            429: OpenApiResponse(description="`cloned_voices_limit_reached`"),
        },
        tags=["voices"],
    )
    def post(self, request: Request) -> Response:
        if (answer := replay(request)) is not None:
            return answer
        file = the_file(request)
        form = schemas.VoiceWish(data=request.data)
        form.is_valid(raise_exception=True)
        told = form.validated_data
        wish = clones.Wish(told["name"], told["provider"], told["language"], told["gender"])
        consent = clones.Consent(
            told["speaker"], told["consent_version"], told["consent"], request.META.get("REMOTE_ADDR") or None
        )

        def make() -> Response:
            voice = clones.clone_create(caller(request), wish, file, consent)
            headers = {"Location": f"/api/v1/voices/{clones.PREFIX}{voice.pk}", "Retry-After": "2"}
            return Response(clone_json(voice), status=202, headers=headers)

        return once(request, make)


class VoiceConsentView(APIView):
    required_scopes = {"GET": "avatars:read"}

    @extend_schema(
        operation_id="voices_consent",
        summary="Read what has to be agreed to before a voice is copied",
        responses=schemas.VoiceConsentOut,
        tags=["voices"],
    )
    def get(self, request: Request) -> Response:
        names = [name for name in accounts.known() if accounts.can(name, "cloning")]
        here = [name for name in names if accounts.is_configured(name)]
        return Response(
            {
                "version": clones.CONSENT_VERSION,
                "text": clones.CONSENT_TEXT,
                "min_seconds": clones.MIN_SECONDS,
                "max_seconds": clones.MAX_SECONDS,
                "providers": [{"id": name, "name": accounts.known()[name].name} for name in here],
            }
        )


class VoiceCopiesView(APIView):
    required_scopes = {"GET": "avatars:read"}

    @extend_schema(
        operation_id="voices_copies",
        summary="List your copied voices, also those that are not ready",
        parameters=[OpenApiParameter("limit", int), OpenApiParameter("cursor", str)],
        responses=schemas.ClonedVoicePage,
        tags=["voices"],
    )
    def get(self, request: Request) -> Response:
        return NewestFirst.answer(request, clones.visible_to(caller(request)), clone_json)


class VoiceView(APIView):
    required_scopes = {"GET": "avatars:read", "DELETE": "clips:write"}

    @extend_schema(
        operation_id="voices_get",
        summary="Show a voice; of a copy, how far it is",
        responses={200: schemas.AnyVoiceOut, 404: _NOT_THERE},
        tags=["voices"],
    )
    def get(self, request: Request, voice_id: str) -> Response:
        if voice_id.startswith(clones.PREFIX):
            return Response(clone_json(clones.clone_get(caller(request), voice_id)))
        voice = voices.find(voice_id, caller(request))
        if voice is None:
            raise NotFound("There is no such voice.", code="voice_not_found")
        return Response(voice_json(voice))

    @extend_schema(
        operation_id="voices_delete",
        summary="Delete a copied voice, here and at its provider",
        responses={
            204: None,
            404: _NOT_THERE,
            409: OpenApiResponse(description="`voice_not_yours`: a provider's own voice stays"),
        },
        tags=["voices"],
    )
    def delete(self, request: Request, voice_id: str) -> Response:
        if not voice_id.startswith(clones.PREFIX) and voices.find(voice_id) is not None:
            raise Conflict("A provider's own voice cannot be deleted.", code="voice_not_yours")
        clones.clone_delete(clones.clone_get(caller(request), voice_id))
        return Response(status=204)


class VoicePreviewView(APIView):
    required_scopes = {"GET": "avatars:read"}

    @extend_schema(
        operation_id="voices_preview",
        summary="Hear a voice say a sentence",
        responses={
            302: OpenApiResponse(description="To an audio file"),
            404: _NOT_THERE,
            503: OpenApiResponse(description="The provider's fault, such as `provider_unauthorized`"),
        },
        tags=["voices"],
    )
    def get(self, request: Request, voice_id: str) -> HttpResponseRedirect:
        voice = voices.find(voice_id, caller(request))
        if voice is None:
            raise NotFound("There is no such voice.", code="voice_not_found")
        return HttpResponseRedirect(voice_samples.link(voice))


def voice_json(voice: Voice) -> dict[str, Any]:
    return {
        "id": voice.id,
        "provider": voice.provider,
        "name": voice.name,
        "language": voice.language,
        "gender": voice.gender,
        "preview_url": _preview(voice.id),
        "cloned": voice.id.startswith(clones.PREFIX),
    }


def _preview(voice_id: str) -> str:
    return f"{settings.PUBLIC_URL}/api/v1/voices/{quote(voice_id, safe=':')}/preview"


def clone_json(row: ClonedVoice) -> dict[str, Any]:
    """A copy, whether or not it can speak yet. What the provider calls it is nobody's business."""
    ready = row.status == CloneStatus.READY
    failed = row.status == CloneStatus.FAILED
    voice_id = f"{clones.PREFIX}{row.pk}"
    return {
        "id": voice_id,
        "provider": row.provider,
        "name": row.name,
        "language": row.language,
        "gender": row.gender,
        "preview_url": _preview(voice_id) if ready else None,
        "cloned": True,
        "status": row.status,
        "failure": {"code": row.failure_code, "message": row.failure_message} if failed else None,
        "duration_ms": row.duration_ms,
        "created_at": row.created_at,
        "ready_at": row.ready_at,
        "consent": {
            "speaker": row.consent.speaker,
            "version": row.consent.version,
            "given_at": row.consent.given_at,
        },
    }
