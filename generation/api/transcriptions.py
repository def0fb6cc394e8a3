"""What is said in a recording."""

import tempfile
from pathlib import Path
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation import hearing
from generation.api import schemas
from generation.api.uploads import the_file
from generation.uploads.services import refused
from project.errors import InvalidInput, Unavailable
from workers.adapters.errors import AdapterError
from workers.rendering.errors import MediaError

_CALLERS = frozenset({"language_unsupported", "audio_unreadable", "audio_too_long"})
"""Faults that are the caller's to mend."""


class TranscriptionsView(APIView):
    required_scopes = {"POST": "clips:write"}
    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="transcriptions_create",
        summary="Recognise what is said in a recording of up to ten minutes",
        request={"multipart/form-data": schemas.TranscriptionIn},
        responses={
            200: schemas.Transcription,
            415: OpenApiResponse(description="`unreadable_media`, `no_audio`"),
        },
        tags=["transcriptions"],
    )
    def post(self, request: Request) -> Response:
        file = the_file(request)
        form = schemas.TranscriptionIn(data=request.data)
        form.is_valid(raise_exception=True)
        with tempfile.TemporaryDirectory(prefix="parley-hearing-") as folder:
            path = Path(folder) / "recording"
            with path.open("wb") as out:
                for chunk in file.chunks():
                    out.write(chunk)
            return Response(_heard(path, form.validated_data.get("language", "")))


def _heard(path: Path, language: str) -> dict[str, Any]:
    try:
        transcript = hearing.recognise_file(path, language=language)
    except MediaError as error:
        raise refused(error) from error
    except AdapterError as error:
        if error.code in _CALLERS:
            raise InvalidInput(str(error), code=error.code) from error
        raise Unavailable(str(error), code=error.code) from error
    segments = [{"start_ms": s.start_ms, "end_ms": s.end_ms, "text": s.text} for s in transcript.segments]
    return {"text": transcript.text, "segments": segments, "provider": transcript.provider}
