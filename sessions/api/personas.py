"""REST calls of personas."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from project.accounts.models import User
from project.accounts.permissions import caller
from project.api.idempotency import once, replay
from project.api.pagination import NewestFirst
from project.errors import InvalidInput
from sessions import abilities, personas, presenter
from sessions.api import schemas
from sessions.knowledge import documents
from sessions.models import Persona

SCOPES = {
    "GET": "sessions:read",
    "POST": "sessions:write",
    "PATCH": "sessions:write",
    "DELETE": "sessions:write",
}
_EXAMPLE = OpenApiExample(
    "A shop's assistant",
    value={
        "name": "Shop assistant",
        "language": "en",
        "system_prompt": "You help visitors of a bicycle shop. Answer in two sentences.",
        "greeting": "Welcome! Which bicycle are you looking for?",
        "knowledge": "The shop is open from nine to six, Monday to Saturday.\n\nA service costs 60 euros.",
        "max_answer_seconds": 30,
        "tools": [
            {"type": "end_call"},
            {"type": "handover", "say": "I will fetch a mechanic."},
            {
                "type": "webhook",
                "name": "order_status",
                "description": "Where an order is. Ask for its number first.",
                "url": "https://shop.example.com/tools/order-status",
                "parameters": {
                    "type": "object",
                    "properties": {"number": {"type": "string"}},
                    "required": ["number"],
                },
            },
        ],
        "topics": [{"name": "prices of others", "phrases": ["cheaper elsewhere"], "action": "refuse"}],
    },
    request_only=True,
)
_NOT_YOURS = OpenApiResponse(description="`persona_shared`: only staff change what everybody uses")


class PersonasView(APIView):
    required_scopes = SCOPES

    @extend_schema(
        operation_id="personas_list",
        summary="List personas: everybody's and your own",
        parameters=[
            OpenApiParameter("search", str, description="Part of the name"),
            OpenApiParameter("limit", int),
            OpenApiParameter("cursor", str),
        ],
        responses=schemas.PersonaPage,
        tags=["personas"],
    )
    def get(self, request: Request) -> Response:
        rows = personas.persona_list(caller(request), query=request.query_params.get("search", ""))
        return NewestFirst.answer(request, rows, lambda row: presenter.persona(row, caller(request)))

    @extend_schema(
        operation_id="personas_create",
        summary="Make a persona of your own",
        request=schemas.PersonaIn,
        responses={201: schemas.PersonaOut, 409: OpenApiResponse(description="`too_many_personas`")},
        examples=[_EXAMPLE],
        tags=["personas"],
    )
    def post(self, request: Request) -> Response:
        if (answer := replay(request)) is not None:
            return answer
        form = schemas.PersonaIn(data=request.data)
        form.is_valid(raise_exception=True)
        fields = _fields(form)
        return once(request, lambda: _created(caller(request), fields))


class PersonaView(APIView):
    required_scopes = SCOPES

    @extend_schema(
        operation_id="personas_get", summary="Show a persona", responses=schemas.PersonaOut, tags=["personas"]
    )
    def get(self, request: Request, persona_id: str) -> Response:
        return Response(presenter.persona(personas.persona_get(caller(request), persona_id), caller(request)))

    @extend_schema(
        operation_id="personas_change",
        summary="Change a persona",
        description="Sessions that have begun keep what they began with.",
        request=schemas.PersonaIn(partial=True),
        responses={200: schemas.PersonaOut, 403: _NOT_YOURS},
        tags=["personas"],
    )
    def patch(self, request: Request, persona_id: str) -> Response:
        persona = _own(request, persona_id)
        if not isinstance(request.data, dict):
            raise InvalidInput("Send a JSON object.", code="invalid")
        if unknown := set(request.data) - set(schemas.PersonaIn().fields):
            name = min(unknown)
            raise InvalidInput(f"{name} cannot be changed.", code="not_editable", pointer=f"/{name}")
        form = schemas.PersonaIn(data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        changed = personas.persona_update(persona, _fields(form), by=caller(request))
        return Response(presenter.persona(changed, caller(request)))

    @extend_schema(
        operation_id="personas_delete",
        summary="Delete a persona",
        description="Sessions that have begun keep what they began with, but for its documents.",
        responses={204: None, 403: _NOT_YOURS},
        tags=["personas"],
    )
    def delete(self, request: Request, persona_id: str) -> Response:
        persona = _own(request, persona_id)
        personas.persona_archive(persona)
        documents.erase(documents.document_list(persona))
        return Response(status=204)


def _own(request: Request, persona_id: str) -> Persona:
    return personas.changeable_by(caller(request), personas.persona_get(caller(request), persona_id))


def _created(owner: User, fields: dict[str, Any]) -> Response:
    persona = personas.persona_create(owner, **fields)
    headers = {"Location": f"/api/v1/personas/{persona.pk}"}
    return Response(presenter.persona(persona, owner), status=201, headers=headers)


def _fields(form: schemas.PersonaIn) -> dict[str, Any]:
    """What was told, checked as far as that may take time."""
    told = abilities.checked(form.validated_data)
    if "voice" in told:
        told["voice"] = told["voice"] or ""
    return told
