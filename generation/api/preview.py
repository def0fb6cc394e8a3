"""The HLS preview of a clip. Its addresses carry a token, for players cannot send a key."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation.clips import preview, selectors, tokens
from generation.clips.models import Clip
from project.accounts.permissions import HasScope, caller
from project.errors import NotFound

PLAYLIST = "application/vnd.apple.mpegurl"
# The token is the permission, so any page may play what it was given the address of.
OPEN = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
SEGMENT_SECONDS = 3600


class MayWatch(HasScope):
    """The address has a token of this clip, or the caller may read clips."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        token = request.query_params.get("token")
        if token is not None and tokens.opens_preview(token, view.kwargs["clip_id"]):
            return True
        return super().has_permission(request, view)


class PreviewView(APIView):
    required_scopes = {"GET": "clips:read"}
    permission_classes = [MayWatch]
    # A player asks often, and each answer is small.
    throttle_classes: list[Any] = []

    def clip(self, request: Request, clip_id: str) -> tuple[Clip, str]:
        """Return the clip and a token for the addresses inside the answer."""
        token = request.query_params.get("token", "")
        if tokens.opens_preview(token, clip_id):
            clip = Clip.objects.filter(pk=clip_id).first()
            if clip is None:
                raise NotFound("There is no such clip.", code="clip_not_found")
            return clip, token
        return selectors.clip_get(caller(request), clip_id), tokens.preview(clip_id)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        answer = super().finalize_response(request, response, *args, **kwargs)
        for name, value in OPEN.items():
            answer.headers[name] = value
        return answer


class MasterView(PreviewView):
    @extend_schema(
        operation_id="clips_preview",
        summary="Watch a clip while it renders (HLS)",
        parameters=[OpenApiParameter("token", str, description="As in `preview_url`")],
        responses={(200, PLAYLIST): OpenApiResponse(bytes, description="A master playlist")},
        tags=["clips"],
    )
    def get(self, request: Request, clip_id: str) -> HttpResponse:
        clip, token = self.clip(request, clip_id)
        return HttpResponse(preview.master(clip, token), content_type=PLAYLIST)


@extend_schema(exclude=True)
class PlaylistView(PreviewView):
    def get(self, request: Request, clip_id: str, kind: str) -> HttpResponse:
        clip, token = self.clip(request, clip_id)
        return HttpResponse(preview.playlist(clip, kind, token), content_type=PLAYLIST)


@extend_schema(exclude=True)
class SegmentView(PreviewView):
    def get(self, request: Request, clip_id: str, kind: str, index: str | None = None) -> HttpResponse:
        clip, _ = self.clip(request, clip_id)
        data = preview.init(clip, kind) if index is None else preview.segment(clip, kind, int(index))
        kept = {"Cache-Control": f"private, max-age={SEGMENT_SECONDS}, immutable"}
        return HttpResponse(data, content_type=f"{kind}/mp4", headers=kept)
