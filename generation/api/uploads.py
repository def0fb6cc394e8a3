"""Uploads: sound for clips and sessions, pictures for backgrounds."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation.api import schemas
from generation.uploads import services
from generation.uploads.models import Upload
from project.accounts.permissions import caller
from project.errors import InvalidInput


class UploadsView(APIView):
    required_scopes = {"POST": "clips:write"}
    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="uploads_create",
        summary="Upload sound, or a picture for a background",
        request={"multipart/form-data": schemas.FileIn},
        responses={
            201: schemas.UploadOut,
            413: OpenApiResponse(description="`too_large`, `image_too_large`"),
            415: OpenApiResponse(description="`unreadable_media`, `unreadable_image`, `no_audio`"),
        },
        tags=["uploads"],
    )
    def post(self, request: Request) -> Response:
        return Response(upload_json(services.upload_create(caller(request), the_file(request))), status=201)


def the_file(request: Request) -> Any:
    """Return the file of a form. Raises `InvalidInput` where there is none, or nothing in it."""
    file = request.FILES.get("file")
    if file is None:
        raise InvalidInput("Send a file as `file`.", code="file_required", pointer="/file")
    if not file.size:
        raise InvalidInput("The file is empty.", code="file_empty", pointer="/file")
    return file


def upload_json(upload: Upload) -> dict[str, Any]:
    facts = {
        "duration_ms": upload.duration_ms,
        "sample_rate": upload.sample_rate,
        "width": upload.width,
        "height": upload.height,
    }
    return {
        "id": upload.pk,
        "kind": upload.kind,
        "bytes": upload.bytes,
        **{name: value for name, value in facts.items() if value is not None},
        "created_at": upload.created_at,
        "expires_at": upload.expires_at,
    }
