"""Voices, and how they sound."""

from typing import Any

from django.conf import settings
from django.http import HttpResponseRedirect
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation import voice_samples, voices
from generation.api import schemas
from generation.voices import Voice
from project.errors import NotFound


class VoicesView(APIView):
    required_scopes = {"GET": "avatars:read"}

    @extend_schema(
        operation_id="voices_list",
        summary="List voices",
        responses=schemas.VoiceOut(many=True),
        tags=["voices"],
    )
    def get(self, request: Request) -> Response:
        return Response([voice_json(voice) for voice in voices.available()])


class VoicePreviewView(APIView):
    required_scopes = {"GET": "avatars:read"}

    @extend_schema(
        operation_id="voices_preview",
        summary="Hear a voice say a sentence",
        responses={302: OpenApiResponse(description="To an audio file")},
        tags=["voices"],
    )
    def get(self, request: Request, voice_id: str) -> HttpResponseRedirect:
        voice = voices.find(voice_id)
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
        "preview_url": f"{settings.PUBLIC_URL}/api/v1/voices/{voice.id}/preview",
    }
