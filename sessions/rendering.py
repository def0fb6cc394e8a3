"""The live render worker's side: one request from sound to a reply in its process's stream."""

import logging
import time

import redis

from generation.clips import actors
from sessions import answers, streams, warming
from workers import profiles
from workers.live import wire
from workers.live.broker import broker
from workers.live.wire import RenderRequest

TAKEN_MS = 400  # at least; then another worker may begin the same request
LATE_SECONDS = 15.0  # past its deadline nobody waits for a request any more

_log = logging.getLogger(__name__)


def render(text: str, worker: str) -> None:
    """Make the fragment that a message asks for and send it, unless nobody wants it any more."""
    picked_up = time.time()
    try:
        request = wire.load_request(text)
    except wire.WireError as error:
        _log.error("%s", error)
        return
    try:
        if picked_up >= request.deadline_at + LATE_SECONDS:
            return
        if _is_stateful(request.model):
            streams.render(request, worker, picked_up)
        elif (sound := _take(request, worker)) is not None:
            _make(wire.with_sound(request, sound), worker, picked_up)
    except wire.WireError as error:
        _log.error("%s", error)
    except redis.RedisError as error:
        # It is asked for again; without the broker nobody could be told anything.
        _log.info("Fragment %d of %s is left: %s", request.number, request.session, error)


def _is_stateful(model: str) -> bool:
    return model in profiles.model_ids() and not profiles.load_profile(model).stateless


def _make(request: RenderRequest, worker: str, picked_up: float) -> None:
    began = time.perf_counter()
    try:
        data, code, retryable = _draw(request), "", False
    except answers.Over:
        return
    except Exception as error:  # noqa: BLE001 - whoever waits has to hear of it, whatever it was
        data, (code, retryable) = b"", answers.reason(request, error)
    reply = answers.made(request, worker, picked_up, began=began, data=data, code=code, retryable=retryable)
    answers.send(request, reply)


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
    return sound if taken and not answers.is_over(over, request) else None


def _draw(request: RenderRequest) -> bytes:
    renderer = actors.renderer(request.model)
    avatar = warming.avatar(wire.Wanted(request.model, request.bundle_key, request.bundle_sha256))
    stream = renderer.open_stream(avatar, start_frame=request.start_frame)
    return answers.draw(renderer, stream, answers.window(request), request)
