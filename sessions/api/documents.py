"""REST calls of a persona's documents."""

import time
from typing import Any

from asgiref.sync import async_to_sync
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from project.accounts.permissions import caller
from project.api.pagination import NewestFirst
from project.api.parsers import StrictJSONParser
from project.errors import InvalidInput
from sessions import presenter
from sessions.api import schemas
from sessions.api.personas import SCOPES
from sessions.knowledge import documents, embeddings
from sessions.knowledge.models import KnowledgeDocument
from sessions.knowledge.retrieval import Retriever

MAX_QUERY = 500
MAX_FOUND = 20
TRYING_SECONDS = 5.0
_STRANGE = OpenApiResponse(description="`persona_not_found`: also everybody's, to all but staff")


class DocumentsView(APIView):
    required_scopes = SCOPES
    parser_classes = [StrictJSONParser, MultiPartParser]

    @extend_schema(
        operation_id="documents_list",
        summary="List a persona's documents",
        parameters=[OpenApiParameter("limit", int), OpenApiParameter("cursor", str)],
        responses={200: schemas.DocumentPage, 404: _STRANGE},
        tags=["personas"],
    )
    def get(self, request: Request, persona_id: str) -> Response:
        persona = documents.knowing(caller(request), persona_id)
        return NewestFirst.answer(request, documents.document_list(persona), presenter.document)

    @extend_schema(
        operation_id="documents_create",
        summary="Give a persona a document",
        description="Text, Markdown or PDF. The same bytes a second time change nothing: the answer is 200 "
        "and the document that is there. One that could not be read is tried again.",
        request={"multipart/form-data": schemas.DocumentFile, "application/json": schemas.DocumentIn},
        responses={
            201: schemas.DocumentOut,
            200: schemas.DocumentOut,
            404: _STRANGE,
            413: OpenApiResponse(description="`too_large`"),
            415: OpenApiResponse(description="`unsupported_document`"),
            429: OpenApiResponse(description="`too_many_documents`, `documents_full`"),
        },
        tags=["personas"],
    )
    def post(self, request: Request, persona_id: str) -> Response:
        persona = documents.knowing(caller(request), persona_id)
        name, data = _given(request)
        document, made = documents.document_create(persona, name, data)
        headers = {"Location": f"/api/v1/personas/{persona.pk}/documents/{document.pk}"} if made else {}
        return Response(presenter.document(document), status=201 if made else 200, headers=headers)


class DocumentView(APIView):
    required_scopes = SCOPES

    @extend_schema(
        operation_id="documents_get",
        summary="Show a document, and how far it is",
        responses={200: schemas.DocumentOut, 404: _STRANGE},
        tags=["personas"],
    )
    def get(self, request: Request, persona_id: str, document_id: str) -> Response:
        return Response(presenter.document(_document(request, persona_id, document_id)))

    @extend_schema(
        operation_id="documents_delete",
        summary="Remove a document",
        description="Its passages, their vectors and its file are gone: nothing of it is found any more.",
        responses={204: None, 404: _STRANGE},
        tags=["personas"],
    )
    def delete(self, request: Request, persona_id: str, document_id: str) -> Response:
        documents.document_delete(_document(request, persona_id, document_id))
        return Response(status=204)


class SearchView(APIView):
    required_scopes = SCOPES

    @extend_schema(
        operation_id="personas_search",
        summary="Try what a persona would find for a question",
        parameters=[
            OpenApiParameter("q", str, required=True, description=f"At most {MAX_QUERY} characters"),
            OpenApiParameter("limit", int, description=f"1 to {MAX_FOUND}; 4 as in a conversation"),
        ],
        responses={200: schemas.SearchOut, 404: _STRANGE},
        tags=["personas"],
    )
    def get(self, request: Request, persona_id: str) -> Response:
        persona = documents.knowing(caller(request), persona_id)
        question = request.query_params.get("q", "").strip()
        if not question or len(question) > MAX_QUERY or "\x00" in question:
            raise InvalidInput("Ask something short with `q`.", code="invalid", pointer="/q")
        limit = _limit(request.query_params.get("limit", "4"))
        begun = time.perf_counter()
        owner_id = persona.owner_id or caller(request).pk
        found = async_to_sync(_search)(persona.pk, owner_id, question, limit)
        took_ms = round((time.perf_counter() - begun) * 1000, 1)
        return Response({"results": [presenter.passage(p) for p in found], "took_ms": took_ms})


async def _search(persona_id: str, owner_id: str, question: str, limit: int) -> list[Any]:
    retriever = Retriever(persona_id, owner_id, embedder=embeddings.embedder(), limit=limit, headed=False)
    try:
        return list(await retriever.passages(question, deadline_seconds=TRYING_SECONDS))
    finally:
        retriever.close()


def _document(request: Request, persona_id: str, document_id: str) -> KnowledgeDocument:
    return documents.document_get(documents.knowing(caller(request), persona_id), document_id)


def _given(request: Request) -> tuple[str, bytes]:
    """The name and the bytes, of a form or of JSON."""
    if (file := request.FILES.get("file")) is not None:
        name = str(request.POST.get("name") or file.name or "document")
        return name, documents.read_file(file)
    if request.content_type.startswith("multipart/"):
        raise InvalidInput("Send a file as `file`.", code="file_required", pointer="/file")
    form = schemas.DocumentIn(data=request.data)
    form.is_valid(raise_exception=True)
    return form.validated_data["name"], form.validated_data["text"].encode()


def _limit(told: str) -> int:
    if not told.isdecimal() or not 1 <= int(told[:4]) <= MAX_FOUND:
        raise InvalidInput(f"limit is 1 to {MAX_FOUND}.", code="invalid", pointer="/limit")
    return int(told)
