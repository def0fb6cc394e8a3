"""REST calls of sessions. Views parse, call one service, answer."""

import time
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from project.accounts.permissions import caller
from project.api.asked import moment, one_of
from project.api.idempotency import once, replay
from project.api.pagination import NewestFirst
from project.metrics import instruments
from sessions import erasing, latency, presenter, selectors, services, transcripts, wishes
from sessions.api import schemas
from sessions.models import Session, SessionStatus
from sessions.selectors import session_get
from sessions.wishes import Wish

READ_WRITE = {"GET": "sessions:read", "POST": "sessions:write", "DELETE": "sessions:write"}
MAX_SEARCH = 200

_KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description="Do it once only")
_SHORT = OpenApiExample("The least", value={"avatar": "sofia"}, request_only=True)
_LONG = OpenApiExample(
    "For a shop's page",
    value={
        "avatar": "sofia",
        "voice": "en-heart",
        "persona": "concierge",
        "record": False,
        "max_duration_seconds": 600,
        "allowed_origins": ["https://shop.example.com"],
        "metadata": {"visitor": "4711"},
    },
    request_only=True,
)


class SessionsView(APIView):
    """My sessions, newest first, and the way to a new one."""

    required_scopes = READ_WRITE

    @extend_schema(
        operation_id="sessions_list",
        summary="List sessions",
        parameters=[
            OpenApiParameter("status", str, description="States, separated by commas"),
            OpenApiParameter("avatar", str, description="Id or slug"),
            OpenApiParameter("persona", str, description="Id or slug"),
            OpenApiParameter("search", str, description="Part of what was said, or of a name"),
            OpenApiParameter("created_after", OpenApiTypes.DATETIME),
            OpenApiParameter("created_before", OpenApiTypes.DATETIME),
            OpenApiParameter("limit", int),
            OpenApiParameter("cursor", str),
        ],
        responses=schemas.SessionPage,
        tags=["sessions"],
    )
    def get(self, request: Request) -> Response:
        asked = request.query_params
        rows = selectors.session_list(
            caller(request),
            statuses=one_of(asked, "status", SessionStatus.values),
            avatar=asked.get("avatar", ""),
            persona=asked.get("persona", ""),
            query=asked.get("search", "")[:MAX_SEARCH],
            created_after=moment(asked, "created_after"),
            created_before=moment(asked, "created_before"),
        )
        return NewestFirst.answer(request, rows, presenter.in_list())

    @extend_schema(
        operation_id="sessions_create",
        summary="Begin a session",
        description="Hand `join_url`, or `ws_url` and `client_token`, to the customer's page.",
        parameters=[_KEY],
        request=schemas.SessionWish,
        responses={
            201: schemas.SessionCreated,
            400: OpenApiResponse(
                description="`invalid`, with the field in `errors`: `avatar_not_found`, `avatar_not_ready`, "
                "`avatar_archived`, `voice_not_found`, `persona_not_found`, `model_not_available`, "
                "`invalid_duration`, `invalid_origin`, `too_many_origins`, `metadata_too_large`"
            ),
            422: OpenApiResponse(description="`idempotency_key_reused`: it was used for another request"),
            429: OpenApiResponse(
                description="`concurrency_limit_exceeded`, `daily_session_limit_reached`, `rate_limited`"
            ),
        },
        examples=[_SHORT, _LONG],
        tags=["sessions"],
    )
    def post(self, request: Request) -> Response:
        if (answer := replay(request)) is None:
            form = schemas.SessionWish(data=request.data)
            form.is_valid(raise_exception=True)
            told = {name: value for name, value in form.validated_data.items() if value is not None}
            order = wishes.check(caller(request), Wish(**told))
            began = time.perf_counter()
            answer = once(request, lambda: _created(services.session_accept(caller(request), order).session))
            instruments.session_create.observe(time.perf_counter() - began)
        return _with_access(answer)


class SessionView(APIView):
    required_scopes = READ_WRITE

    @extend_schema(
        operation_id="sessions_get", summary="Show a session", responses=schemas.SessionOut, tags=["sessions"]
    )
    def get(self, request: Request, session_id: str) -> Response:
        session = session_get(caller(request), session_id)
        return Response(presenter.session(session), headers={"Cache-Control": "private, no-store"})

    @extend_schema(
        operation_id="sessions_erase",
        summary="Erase a session",
        description="Its transcript, its recording and the customer's sound are deleted. "
        "One that is running is ended first.",
        responses={204: None},
        tags=["sessions"],
    )
    def delete(self, request: Request, session_id: str) -> Response:
        session = session_get(caller(request), session_id)
        erasing.session_erase(session)
        return Response(status=204)


class TranscriptView(APIView):
    required_scopes = {"GET": "sessions:read"}

    @extend_schema(
        operation_id="sessions_transcript",
        summary="Read what was said",
        responses=schemas.TranscriptOut,
        tags=["sessions"],
    )
    def get(self, request: Request, session_id: str) -> Response:
        session = session_get(caller(request), session_id)
        return Response(
            {
                "session": session.pk,
                "language": session.language,
                "status": session.status,
                "turns": transcripts.transcript(session),
            },
            headers={"Cache-Control": "private, no-store"},
        )


class LatencyView(APIView):
    required_scopes = {"GET": "sessions:read"}

    @extend_schema(
        operation_id="sessions_latency",
        summary="See where the time went",
        description="The stages of each answer, and how long they usually took; nothing of what was said. "
        "Of a long conversation the newest 200 answers are told.",
        responses=schemas.LatencyOut,
        tags=["sessions"],
    )
    def get(self, request: Request, session_id: str) -> Response:
        session = session_get(caller(request), session_id)
        return Response(latency.latency(session), headers={"Cache-Control": "private, no-store"})


class TranscriptFileView(APIView):
    required_scopes = {"GET": "sessions:read"}

    @extend_schema(
        operation_id="sessions_transcript_vtt",
        summary="Download what was said as WebVTT",
        parameters=[OpenApiParameter("download", bool, description="Save it instead of showing it")],
        responses={(200, "text/vtt"): OpenApiTypes.STR},
        tags=["sessions"],
    )
    def get(self, request: Request, session_id: str) -> HttpResponse:
        session = session_get(caller(request), session_id)
        answer = HttpResponse(transcripts.to_vtt(session), content_type="text/vtt; charset=utf-8")
        answer["Cache-Control"] = "private, no-store"
        if request.query_params.get("download", "0").lower() in ("1", "true"):
            answer["Content-Disposition"] = f'attachment; filename="{session.pk}.vtt"'
        return answer


def _created(session: Session) -> Response:
    """The answer as it is kept for repeated requests: without anything that opens the session."""
    headers = {"Location": f"/api/v1/sessions/{session.pk}"}
    return Response(presenter.session(session), status=201, headers=headers)


def _with_access(answer: Response) -> Response:
    """Add token and credentials, which are derived anew and stored nowhere."""
    told: dict[str, Any] = answer.data
    answer.data = told | presenter.access(told["id"], told["max_duration_seconds"])
    answer["Cache-Control"] = "no-store"
    return answer
