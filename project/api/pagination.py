"""Lists, newest first: `{results, next}`, with an opaque cursor and no counts.

The cursor is the place (created_at, id) of the last row shown, so rows that come or go between
two pages are neither skipped nor shown twice.
"""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Model, Q, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from project.errors import InvalidInput

if TYPE_CHECKING:  # REST framework imports this module while its views are being made
    from rest_framework.views import APIView

MAX_LIMIT = 100


class NewestFirst(BasePagination):
    """Keyset pagination over `created_at` and `id`, both falling.

    In a plain APIView: `return NewestFirst.answer(request, queryset, serialize)`.
    """

    default_limit: ClassVar[int] = 25
    moment: ClassVar[str] = "created_at"

    def paginate_queryset(
        self,
        queryset: Any,
        request: Request,
        view: "APIView | None" = None,  # noqa: ARG002
    ) -> list[Any]:
        limit = _limit(request, self.default_limit)
        rows = queryset.order_by(f"-{self.moment}", "-pk")
        if cursor := request.query_params.get("cursor"):
            moment, key = _decode(cursor)
            rows = rows.filter(
                Q(**{f"{self.moment}__lt": moment}) | Q(**{self.moment: moment, "pk__lt": key})
            )
        page: list[Model] = list(rows[: limit + 1])
        self._next: str | None = None
        if len(page) > limit:
            page = page[:limit]
            last = page[-1]
            cursor = _encode(getattr(last, self.moment), str(last.pk))
            self._next = replace_query_param(request.build_absolute_uri(), "cursor", cursor)
        return page

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"results": data, "next": self._next})

    @classmethod
    def answer(cls, request: Request, queryset: QuerySet[Any], serialize: Any) -> Response:
        """List `queryset`; `serialize` makes one row's JSON."""
        paginator = cls()
        page = paginator.paginate_queryset(queryset, request)
        return paginator.get_paginated_response([serialize(row) for row in page])

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["results", "next"],
            "properties": {
                "results": schema,
                "next": {
                    "type": ["string", "null"],
                    "format": "uri",
                    "description": "Address of the next page; null on the last one",
                },
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:  # noqa: ARG002
        return [
            {
                "name": "limit",
                "in": "query",
                "description": f"Rows in a page, at most {MAX_LIMIT}",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAX_LIMIT,
                    "default": self.default_limit,
                },
            },
            {
                "name": "cursor",
                "in": "query",
                "description": "Taken from `next`; not to be made up",
                "schema": {"type": "string"},
            },
        ]


def _limit(request: Request, default: int) -> int:
    raw = request.query_params.get("limit")
    if raw is None:
        return default
    if not (raw.isascii() and raw.isdigit() and len(raw) < 10 and 1 <= int(raw) <= MAX_LIMIT):
        raise InvalidInput(f"limit must be a whole number from 1 to {MAX_LIMIT}.", code="invalid_limit")
    return int(raw)


def _encode(moment: datetime, key: str) -> str:
    return base64.urlsafe_b64encode(f"{moment.isoformat()}|{key}".encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, _, key = text.partition("|")
        when = datetime.fromisoformat(moment)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput("This cursor is not one of ours.", code="invalid_cursor") from exc
    if when.tzinfo is None or not key or "\x00" in key:
        raise InvalidInput("This cursor is not one of ours.", code="invalid_cursor")
    return when, key


def as_list(rows: Sequence[Any]) -> Response:
    """Answer a short list that has one page only, in the same shape."""
    return Response({"results": list(rows), "next": None})
