"""REST calls of recordings: they are made by sessions, looked at, and erased."""

from django.http import HttpResponseRedirect
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from project.accounts.permissions import caller
from project.api.asked import one_of, wants_download
from project.api.pagination import NewestFirst
from sessions import erasing, presenter, selectors
from sessions.api import schemas
from sessions.models import RecordingStatus
from sessions.selectors import recording_get

READ_WRITE = {"GET": "sessions:read", "DELETE": "sessions:write"}


class RecordingsView(APIView):
    required_scopes = READ_WRITE

    @extend_schema(
        operation_id="recordings_list",
        summary="List recordings",
        parameters=[
            OpenApiParameter("session", str, description="Id"),
            OpenApiParameter("status", str, description="States, separated by commas"),
            OpenApiParameter("limit", int),
            OpenApiParameter("cursor", str),
        ],
        responses=schemas.RecordingPage,
        tags=["recordings"],
    )
    def get(self, request: Request) -> Response:
        asked = request.query_params
        rows = selectors.recording_list(
            caller(request),
            session=asked.get("session", ""),
            statuses=one_of(asked, "status", RecordingStatus.values),
        )
        return NewestFirst.answer(request, rows, presenter.recording)


class RecordingView(APIView):
    required_scopes = READ_WRITE

    @extend_schema(
        operation_id="recordings_get",
        summary="Show a recording",
        responses=schemas.RecordingOut,
        tags=["recordings"],
    )
    def get(self, request: Request, recording_id: str) -> Response:
        return Response(presenter.recording(recording_get(caller(request), recording_id)))

    @extend_schema(
        operation_id="recordings_erase",
        summary="Erase a recording",
        description="The video and all sound are deleted; the transcript stays. Doing it twice is no error.",
        responses={204: None, 409: OpenApiResponse(description="`session_running`: end the session first")},
        tags=["recordings"],
    )
    def delete(self, request: Request, recording_id: str) -> Response:
        erasing.recording_erase(recording_get(caller(request), recording_id))
        return Response(status=204)


class RecordingVideoView(APIView):
    """The video of a recording; players follow the redirect, and ranges work there."""

    required_scopes = {"GET": "sessions:read"}

    @extend_schema(
        operation_id="recordings_video",
        summary="Download a recording",
        parameters=[OpenApiParameter("download", bool, description="Save it instead of showing it")],
        responses={
            302: OpenApiResponse(description="To a link that is good for an hour"),
            409: OpenApiResponse(description="`recording_not_ready`"),
            410: OpenApiResponse(description="`recording_expired`, `recording_erased`"),
        },
        tags=["recordings"],
    )
    def get(self, request: Request, recording_id: str) -> HttpResponseRedirect:
        recording = selectors.playable(recording_get(caller(request), recording_id))
        inline = not wants_download(request.query_params)
        answer = HttpResponseRedirect(presenter.recording_link(recording, inline=inline))
        answer["Cache-Control"] = "private, no-store"
        return answer
