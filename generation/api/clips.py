"""REST calls of clips. Views parse, call one service, answer."""

from collections.abc import Sequence

from django.http import HttpResponseRedirect
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation import voices
from generation.api import schemas
from generation.clips import narration, presenter, selectors, services, wishes
from generation.clips.models import Clip, ClipStatus
from generation.clips.wishes import Order
from project.accounts.permissions import caller
from project.api.asked import moment, one_of, wants_download
from project.api.idempotency import once, replay
from project.api.pagination import NewestFirst
from project.errors import InvalidInput

READ_WRITE = {"GET": "clips:read", "POST": "clips:write", "DELETE": "clips:write"}
POLL_SECONDS = "1"
MAX_IDS = 100
MAX_SEARCH = 200

_KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description="Send it once only")
_HELLO = OpenApiExample(
    "A script",
    value={"avatar": "nora", "voice": "en-heart", "script": "Hello! This is my first video."},
    request_only=True,
)
_SOUND = OpenApiExample(
    "Own sound",
    value={"avatar": "nora", "upload": "upl_0199...", "captions": "burned", "aspect_ratio": "9:16"},
    request_only=True,
)


class ClipsView(APIView):
    """My clips, newest first, and the way to a new one."""

    required_scopes = READ_WRITE

    @extend_schema(
        operation_id="clips_list",
        summary="List clips",
        parameters=[
            OpenApiParameter("ids", str, description="Ids, separated by commas; at most 100"),
            OpenApiParameter("status", str, description="States, separated by commas"),
            OpenApiParameter("avatar", str, description="Id or slug"),
            OpenApiParameter("q", str, description="Part of the script or of the avatar's name"),
            OpenApiParameter("created_after", OpenApiTypes.DATETIME),
            OpenApiParameter("created_before", OpenApiTypes.DATETIME),
            OpenApiParameter("limit", int),
            OpenApiParameter("cursor", str),
        ],
        responses=schemas.ClipPage,
        tags=["clips"],
    )
    def get(self, request: Request) -> Response:
        asked = request.query_params
        rows = selectors.clip_list(
            caller(request),
            ids=_ids(asked.get("ids", "")),
            statuses=one_of(asked, "status", ClipStatus.values),
            avatar=asked.get("avatar", ""),
            query=(asked.get("q") or asked.get("search") or "")[:MAX_SEARCH],
            created_after=moment(asked, "created_after"),
            created_before=moment(asked, "created_before"),
        )
        return NewestFirst.answer(request, rows, presenter.clip)

    @extend_schema(
        operation_id="clips_create",
        summary="Make a clip",
        parameters=[_KEY],
        request=schemas.ClipWish,
        responses={202: schemas.ClipOut},
        examples=[_HELLO, _SOUND],
        tags=["clips"],
    )
    def post(self, request: Request) -> Response:
        if (answer := replay(request)) is not None:
            return answer
        form = schemas.ClipWish(data=request.data)
        form.is_valid(raise_exception=True)
        order = wishes.check(caller(request), form.wish())
        return once(request, lambda: _accepted(services.clips_accept(caller(request), [order])[0]))


class ClipBatchView(APIView):
    required_scopes = READ_WRITE

    @extend_schema(
        operation_id="clips_create_batch",
        summary="Make up to 100 clips: all of them are accepted, or none",
        parameters=[_KEY],
        request=schemas.BatchWish,
        responses={202: schemas.BatchOut},
        tags=["clips"],
    )
    def post(self, request: Request) -> Response:
        if (answer := replay(request)) is not None:
            return answer
        orders = _batch(request)
        return once(request, lambda: _accepted_batch(services.clips_accept(caller(request), orders)))


class ClipEstimateView(APIView):
    required_scopes = {"POST": "clips:read"}

    @extend_schema(
        operation_id="clips_estimate",
        summary="Estimate how long a script takes to say",
        request=schemas.EstimateWish,
        responses=schemas.Estimate,
        tags=["clips"],
    )
    def post(self, request: Request) -> Response:
        form = schemas.EstimateWish(data=request.data)
        form.is_valid(raise_exception=True)
        told = form.validated_data
        wishes.check_length(told["script"], pointer="/script")
        try:
            voice = voices.get(told["voice"], caller(request)) if told.get("voice") else voices.default()
        except InvalidInput as error:
            raise InvalidInput(str(error), code=error.code, pointer="/voice") from error
        return Response({"duration_ms": narration.estimate_ms(told["script"], voice, told["speed"])})


class ClipView(APIView):
    required_scopes = READ_WRITE

    @extend_schema(
        operation_id="clips_get",
        summary="Show a clip",
        responses={200: schemas.ClipOut, 304: OpenApiResponse(description="As you know it")},
        tags=["clips"],
    )
    def get(self, request: Request, clip_id: str) -> Response:
        clip = selectors.clip_get(caller(request), clip_id)
        headers = {"ETag": presenter.etag(clip), "Cache-Control": "private, no-cache"}
        if presenter.etag(clip) in _tags(request.headers.get("If-None-Match", "")):
            return Response(status=304, headers=headers)
        return Response(presenter.clip(clip) | {"timings": selectors.timings(clip)}, headers=headers)

    @extend_schema(
        operation_id="clips_delete",
        summary="Delete a clip and its files",
        responses={204: None, 409: OpenApiResponse(description="It is being made: cancel it first")},
        tags=["clips"],
    )
    def delete(self, request: Request, clip_id: str) -> Response:
        services.clip_delete(selectors.clip_get(caller(request), clip_id))
        return Response(status=204)


class ClipCancelView(APIView):
    required_scopes = READ_WRITE

    @extend_schema(
        operation_id="clips_cancel",
        summary="Cancel a clip",
        request=None,
        responses={
            200: OpenApiResponse(schemas.ClipOut, description="It is canceled"),
            202: OpenApiResponse(schemas.ClipOut, description="It will be, as soon as its workers notice"),
            409: OpenApiResponse(description="It has ended"),
        },
        tags=["clips"],
    )
    def post(self, request: Request, clip_id: str) -> Response:
        clip = selectors.clip_get(caller(request), clip_id)
        over = services.clip_cancel(clip)
        headers = {} if over else {"Retry-After": POLL_SECONDS}
        return Response(presenter.clip(clip), status=200 if over else 202, headers=headers)


class ClipFileView(APIView):
    """One file of a finished clip; players follow the redirect, and ranges work there."""

    required_scopes = {"GET": "clips:read"}
    kind = "video"

    @extend_schema(
        parameters=[OpenApiParameter("download", bool, description="Save it instead of showing it")],
        responses={
            302: OpenApiResponse(description="To a link that is good for an hour"),
            409: OpenApiResponse(description="`clip_not_finished`"),
            410: OpenApiResponse(description="`clip_expired`"),
        },
        tags=["clips"],
    )
    def get(self, request: Request, clip_id: str) -> HttpResponseRedirect:
        clip = selectors.finished(selectors.clip_get(caller(request), clip_id))
        inline = not wants_download(request.query_params)
        return HttpResponseRedirect(presenter.link(clip, self.kind, inline=inline))


def _accepted(clip: Clip) -> Response:
    headers = {"Location": f"/api/v1/clips/{clip.pk}", "Retry-After": POLL_SECONDS}
    return Response(presenter.clip(clip), status=202, headers=headers)


def _accepted_batch(clips: Sequence[Clip]) -> Response:
    body = {"clips": [presenter.clip(clip) for clip in clips]}
    return Response(body, status=202, headers={"Retry-After": POLL_SECONDS})


def _batch(request: Request) -> list[Order]:
    """Check every clip of a batch, each under its own pointer."""
    form = schemas.BatchWish(data=request.data)
    form.is_valid(raise_exception=True)
    forms: list[wishes.Wish] = []
    for told in form.validated_data["clips"]:
        given = {name: value for name, value in told.items() if value is not None}
        forms.append(wishes.Wish(**given, at=f"/clips/{len(forms)}"))
    return [wishes.check(caller(request), wish) for wish in forms]


def _ids(raw: str) -> list[str]:
    ids = [part for part in raw.split(",") if part]
    if len(ids) > MAX_IDS:
        raise InvalidInput(f"Ask for at most {MAX_IDS} ids.", code="too_many_ids")
    return ids


def _tags(raw: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in raw.split(",")}
