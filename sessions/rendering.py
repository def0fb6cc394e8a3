"""The live render worker's side: one request from sound to a reply in its process's stream."""

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import redis

from generation.clips import actors
from sessions import warming
from storage.errors import StorageError
from workers.adapters.avatar.base import AudioWindow
from workers.adapters.errors import AdapterError
from workers.live import wire
from workers.live.broker import broker
from workers.live.wire import RenderReply, RenderRequest
from workers.rendering.encode import LIVE_PRESET
from workers.rendering.fragment import render_fragment
from workers.rendering.live import stage

STREAM_LENGTH = 64  # replies that a process may leave unread: more than it ever has in flight
STREAM_SECONDS = 60  # a process that is gone reads no more
TAKEN_MS = 400  # at least; then another worker may begin the same request
DONE_SECONDS = 10
LATE_SECONDS = 15.0  # past its deadline nobody waits for a request any more
LOOK_SECONDS = 0.012  # between two looks whether somebody interrupted

_log = logging.getLogger(__name__)


class _Over(Exception):
    """The request's epoch ended."""


def render(text: str, worker: str) -> None:
    """Make the fragment that a message asks for and send it, unless nobody wants it any more."""
    picked_up = time.time()
    try:
        request = wire.load_request(text)
    except wire.WireError as error:
        _log.error("%s", error)
        return
    try:
        sound = _take(request, worker) if picked_up < request.deadline_at + LATE_SECONDS else None
        if sound is not None:
            _make(wire.with_sound(request, sound), worker, picked_up)
    except wire.WireError as error:
        _log.error("%s", error)
    except redis.RedisError as error:
        # It is asked for again; without the broker nobody could be told anything.
        _log.info("Fragment %d of %s is left: %s", request.number, request.session, error)


def _make(request: RenderRequest, worker: str, picked_up: float) -> None:
    began = time.perf_counter()
    try:
        data, code, retryable = _draw(request), "", False
    except _Over:
        return
    except AdapterError as error:
        data, code, retryable = b"", error.code, error.retryable
    except StorageError as error:
        data, code, retryable = b"", error.code, error.retryable
    except Exception:  # noqa: BLE001 - whoever waits has to hear of it, whatever it was
        _log.exception("A fragment of %s could not be rendered", request.session)
        data, code, retryable = b"", "internal_error", False
    _reply(
        request,
        RenderReply(
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
        ),
    )


def _take(request: RenderRequest, worker: str) -> bytes | None:
    """Begin, and return the sound; None where the epoch is over, or somebody else makes this fragment or did.

    Without its sound (a broker that lost its memory) the request is sent again.
    """
    taken_ms = max(TAKEN_MS, round((request.deadline_at - request.published_at) * 500))
    asked = broker().pipeline(transaction=False)
    asked.get(request.epoch_key)
    asked.set(request.taken_key, worker, nx=True, px=taken_ms)
    asked.get(request.sound_key)
    over, taken, sound = asked.execute()
    return sound if taken and not _is_over(over, request) else None


def _is_over(said: Any, request: RenderRequest) -> bool:
    return said is not None and int(said) >= request.epoch


def _draw(request: RenderRequest) -> bytes:
    renderer = actors.renderer(request.model)
    avatar = warming.avatar(wire.Wanted(request.model, request.bundle_key, request.bundle_sha256))
    stream = renderer.open_stream(avatar, start_frame=request.start_frame)
    window = AudioWindow(
        pcm=np.frombuffer(request.pcm16k, np.int16),
        lookback=request.lookback,
        lookahead=request.lookahead,
        start_frame=request.start_frame,
        frames=request.frames,
        phones=request.phones,
    )
    return render_fragment(
        renderer,
        stream,
        window,
        width=request.width,
        height=request.height,
        crf=request.crf,
        preset=LIVE_PRESET,
        canvas=stage(request.width, request.height),
        check=_watch(request),
    ).data


def _watch(request: RenderRequest) -> Callable[[], None]:
    """Return what is called before each frame: it stops the work when somebody interrupted."""
    looked = time.monotonic()

    def check() -> None:
        nonlocal looked
        now = time.monotonic()
        if now - looked < LOOK_SECONDS:
            return
        looked = now
        if _is_over(broker().get(request.epoch_key), request):
            raise _Over

    return check


def _reply(request: RenderRequest, reply: RenderReply) -> None:
    said = broker().pipeline(transaction=False)
    said.xadd(request.reply_to, wire.dump_reply(reply), maxlen=STREAM_LENGTH, approximate=False)
    said.expire(request.reply_to, STREAM_SECONDS)
    if reply.error_code:
        said.delete(request.taken_key)  # the next attempt may begin at once
    else:
        said.set(request.taken_key, wire.DONE, ex=DONE_SECONDS)
        said.delete(request.sound_key)
    said.execute()
