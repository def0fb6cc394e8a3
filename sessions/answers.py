"""What both kinds of live rendering share: the window of a request, its fragment, and the reply to it."""

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from project import tracing
from storage.errors import StorageError
from workers.adapters.avatar.base import AudioWindow, Renderer
from workers.adapters.errors import AdapterError
from workers.gpu import figures
from workers.live import wire
from workers.live.broker import broker
from workers.live.wire import RenderReply, RenderRequest
from workers.rendering.encode import LIVE_PRESET
from workers.rendering.fragment import render_fragment
from workers.rendering.live import stage

STREAM_LENGTH = 64  # replies that a process may leave unread: more than it ever has in flight
STREAM_SECONDS = 60  # a process that is gone reads no more
DONE_SECONDS = 10
LOOK_SECONDS = 0.04  # between two looks whether somebody interrupted: a picture's time

_log = logging.getLogger(__name__)


class Over(Exception):
    """The request's epoch ended."""


def is_over(said: Any, request: RenderRequest) -> bool:
    """Whether what the broker says of the last epoch that is over covers this request."""
    if said is None:
        return False
    return int(said) >= (wire.EVERYTHING if request.opens else request.epoch)


def window(request: RenderRequest) -> AudioWindow:
    """What the renderer hears."""
    return AudioWindow(
        pcm=np.frombuffer(request.pcm16k, np.int16),
        lookback=request.lookback,
        lookahead=request.lookahead,
        start_frame=request.start_frame,
        frames=request.frames,
        phones=request.phones,
        live=True,
        first=request.first,
        last=request.last,
    )


def draw(renderer: Renderer, stream: Any, heard: AudioWindow, request: RenderRequest) -> bytes:
    """Make the fragment. Raises `Over`, and what the renderer raises."""
    traced = tracing.span("draw", ordinary=(Over,), model=request.model, frames=heard.frames)
    with traced, figures.drawing(request.model, heard.frames, "live") as drawing:
        return render_fragment(
            renderer,
            stream,
            heard,
            width=request.width,
            height=request.height,
            crf=request.crf,
            preset=LIVE_PRESET,
            canvas=stage(request.width, request.height),
            check=drawing.checking(_watch(request)),
        ).data


def reason(request: RenderRequest, error: Exception) -> tuple[str, bool]:
    """The code of what went wrong, and whether another try may help."""
    if isinstance(error, AdapterError | StorageError):
        return error.code, error.retryable
    _log.error("A fragment of %s could not be rendered", request.session, exc_info=error)
    return "internal_error", False


def made(
    request: RenderRequest,
    worker: str,
    picked_up: float,
    *,
    began: float,
    data: bytes,
    code: str = "",
    retryable: bool = False,
    seam: bool = False,
) -> RenderReply:
    """The reply to a request that was picked up and begun at these moments (Unix, `perf_counter`)."""
    return RenderReply(
        session=request.session,
        incarnation=request.incarnation,
        epoch=request.epoch,
        number=request.number,
        data=data,
        frames=0 if code else request.frames,
        render_ms=round((time.perf_counter() - began) * 1000, 2),
        queue_ms=round(max(0.0, picked_up - request.published_at) * 1000, 2),
        worker=worker,
        error_code=code,
        retryable=retryable,
        attempt=request.attempt,
        seam=seam,
    )


def send(request: RenderRequest, reply: RenderReply) -> None:
    """Put a reply into the stream of the process that asked. Raises `redis.RedisError`."""
    said = broker().pipeline(transaction=False)
    said.xadd(request.reply_to, wire.dump_reply(reply), maxlen=STREAM_LENGTH, approximate=False)
    said.expire(request.reply_to, STREAM_SECONDS)
    if reply.error_code:
        said.delete(request.taken_key)  # the next attempt may begin at once
    else:
        said.set(request.taken_key, wire.DONE, ex=DONE_SECONDS)
        said.delete(request.sound_key)
    said.execute()


def _watch(request: RenderRequest) -> Callable[[], None]:
    """Return what is called before each frame: it stops the work when somebody interrupted."""
    looked = time.monotonic()

    def check() -> None:
        nonlocal looked
        now = time.monotonic()
        if now - looked < LOOK_SECONDS:
            return
        looked = now
        if is_over(broker().get(request.epoch_key), request):
            raise Over

    return check
