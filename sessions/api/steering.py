"""REST calls that reach into a running session, wherever its host is."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from project.accounts.permissions import caller
from sessions import presenter, steering
from sessions.api import schemas
from sessions.selectors import session_get

WRITE = {"POST": "sessions:write"}
_TEXT = OpenApiExample("A text", value={"text": "Your order has just left our warehouse."}, request_only=True)
_SOUND = OpenApiExample("Own sound", value={"upload": "upl_0199..."}, request_only=True)
_NOT_ACTIVE = OpenApiResponse(description="`session_not_active`: it waits, has not begun, or has ended")
_UNREACHABLE = OpenApiResponse(description="`host_unreachable`: try again in a few seconds")
_TAKEN = {202: schemas.TurnTaken, 409: _NOT_ACTIVE, 504: _UNREACHABLE}


class SayView(APIView):
    required_scopes = WRITE

    @extend_schema(
        operation_id="sessions_say",
        summary="Make the avatar say this verbatim",
        description="An uploaded sound drives the avatar directly. Whatever it is saying is interrupted.",
        request=schemas.SpeechWish,
        responses=_TAKEN,
        examples=[_TEXT, _SOUND],
        tags=["sessions"],
    )
    def post(self, request: Request, session_id: str) -> Response:
        session = session_get(caller(request), session_id)
        return Response(steering.say(session, **_speech(request)), status=202)


class AskView(APIView):
    required_scopes = WRITE

    @extend_schema(
        operation_id="sessions_ask",
        summary="Ask as if the customer had",
        description="The text, or what is recognised in an uploaded sound, becomes a turn of the customer's.",
        request=schemas.SpeechWish,
        responses=_TAKEN,
        examples=[_TEXT, _SOUND],
        tags=["sessions"],
    )
    def post(self, request: Request, session_id: str) -> Response:
        session = session_get(caller(request), session_id)
        return Response(steering.ask(session, **_speech(request)), status=202)


class InterruptView(APIView):
    required_scopes = WRITE

    @extend_schema(
        operation_id="sessions_interrupt",
        summary="Stop what the avatar is saying",
        description="`turn` is null where it was not speaking.",
        request=None,
        responses={200: schemas.Interrupted, 409: _NOT_ACTIVE, 504: _UNREACHABLE},
        tags=["sessions"],
    )
    def post(self, request: Request, session_id: str) -> Response:
        return Response(steering.interrupt(session_get(caller(request), session_id)))


class EndView(APIView):
    required_scopes = WRITE

    @extend_schema(
        operation_id="sessions_end",
        summary="End a session",
        description="Doing it twice is no error. The answer shows the reason it really ended for.",
        request=None,
        responses=schemas.SessionOut,
        tags=["sessions"],
    )
    def post(self, request: Request, session_id: str) -> Response:
        user = caller(request)
        steering.end(session_get(user, session_id))
        return Response(presenter.session(session_get(user, session_id)))


def _speech(request: Request) -> dict[str, Any]:
    form = schemas.SpeechWish(data=request.data)
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)
