"""The streams of stateful models that a live render worker keeps for its sessions.

A stream belongs to one session on one host, and to no other: requests find it by both names, and its
fragments are drawn in the order of their numbers, whichever thread of the worker picked them up. It is
open as long as the session holds a slot of this worker. A thread looks after that, and tells the session
of the fragments that wait or are being drawn here, so that it asks nobody else meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import redis

from generation.clips import actors
from sessions import answers, warming
from workers import profiles
from workers.adapters.avatar.base import SAMPLES_PER_FRAME, AudioWindow, Profile, StatefulRenderer
from workers.live import slots, wire
from workers.live.broker import broker
from workers.live.wire import RenderReply, RenderRequest

KEPT_REPLIES = 4  # of a session: more than it has in flight
BEAT_SECONDS = 0.4
TAKEN_MS = 1500  # a few beats: then the worker is dead
LOOK_SECONDS = 1.0
GRACE_SECONDS = 6.0  # a broker that lost its memory knows of the slots again by then

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A request that was picked up (Unix seconds) by `worker`."""

    request: RenderRequest
    worker: str
    picked_up: float


@dataclass(slots=True, eq=False)
class Stream:
    """What is kept of one session. Everything but `renderer` and `state` is read under `lock`."""

    member: str
    model: str
    worker: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    renderer: StatefulRenderer | None = None
    state: Any = None
    place: tuple[int, int] | None = None  # (epoch, number) that its pictures go on with; None when fresh
    epoch: int = -1
    next: int = 0
    waiting: dict[int, Job] = field(default_factory=dict)
    drawing: Job | None = None
    busy: bool = False
    closed: bool = False
    replies: OrderedDict[int, RenderReply] = field(default_factory=OrderedDict)
    strange_since: float | None = None  # since when its slot is not seen (monotonic)

    def under_way(self) -> list[Job]:
        """What this worker is at, or will be."""
        with self.lock:
            return [*self.waiting.values(), *([self.drawing] if self.drawing else [])]


class Streams:
    """Those of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Stream] = {}
        self._thread: threading.Thread | None = None
        self._any = threading.Event()

    def __len__(self) -> int:
        return len(self._kept)

    def submit(self, job: Job) -> None:
        """Draw it as soon as its turn has come, here or in the thread that draws for its session."""
        while not self._submitted(self._of(job), job):
            pass  # it was closed meanwhile: a new one begins

    def close_all(self) -> None:
        """Give everything back: the worker stops."""
        for stream in self._all():
            with stream.lock:
                stream.closed = True
            self._close(stream)

    def look(self) -> None:
        """Close the streams whose session left, or has its slot elsewhere. Raises `redis.RedisError`."""
        kept = self._all()
        if not kept:
            return
        for queue in {profiles.load_profile(stream.model).live_queue for stream in kept}:
            here = [s for s in kept if profiles.load_profile(s.model).live_queue == queue]
            owners = slots.holders(queue, [stream.member for stream in here])
            ended: list[Any] = broker().mget([f"{wire.EPOCH}{stream.member}" for stream in here])
            for stream, owner, over in zip(here, owners, ended, strict=True):
                if self._has_left(stream, owner, over):
                    self._close(stream)

    def tell(self) -> None:
        """Say which fragments wait or are drawn here. Raises `redis.RedisError`."""
        jobs = [job for stream in self._all() for job in stream.under_way()]
        if not jobs:
            return
        said = broker().pipeline(transaction=False)
        for job in jobs:
            said.set(job.request.taken_key, job.worker, px=TAKEN_MS)
        said.execute()

    def _of(self, job: Job) -> Stream:
        member = job.request.member
        with self._lock:
            stream = self._kept.get(member)
            if stream is None or stream.closed:
                stream = self._kept[member] = Stream(member, job.request.model, job.worker)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="streams", daemon=True)
                self._thread.start()
        self._any.set()
        return stream

    def _all(self) -> list[Stream]:
        with self._lock:
            return list(self._kept.values())

    def _submitted(self, stream: Stream, job: Job) -> bool:
        """False where the stream was closed before the job was noted."""
        request = job.request
        with stream.lock:
            if stream.closed:
                return False
            reply = _noted(stream, job)
            begins = reply is None and bool(stream.waiting) and not stream.busy
            stream.busy = stream.busy or begins
        if reply is not None:
            answers.send(request, replace(reply, attempt=request.attempt))
        if begins:
            self._work(stream)
        return True

    def _work(self, stream: Stream) -> None:
        """Draw what is next, until it has not come."""
        try:
            while (job := self._turn(stream)) is not None:
                reply = _drawn(stream, job)
                with stream.lock:
                    stream.drawing = None
                    if reply is not None and not reply.error_code and not job.request.opens:
                        _remember(stream, reply)
                if reply is not None:
                    answers.send(job.request, reply)
        except BaseException as error:
            # Whatever it was, another thread can go on with this stream, or close it.
            with stream.lock:
                stream.busy, stream.drawing = False, None
            if stream.closed:
                self._close(stream)
            if not isinstance(error, redis.RedisError):
                raise
            _log.info("A fragment of %s is left: %s", stream.member, error)

    def _turn(self, stream: Stream) -> Job | None:
        with stream.lock:
            number = wire.OPENING if wire.OPENING in stream.waiting else stream.next
            job = None if stream.closed else stream.waiting.pop(number, None)
            stream.drawing = job
            stream.busy = job is not None
            for passed in [other for other in stream.waiting if wire.OPENING < other < stream.next]:
                del stream.waiting[passed]
        if job is None and stream.closed:
            self._close(stream)
        return job

    @staticmethod
    def _has_left(stream: Stream, owner: str, over: Any) -> bool:
        """Whether nobody will ask this stream for anything again; notes it."""
        now = time.monotonic()
        with stream.lock:
            ended = over is not None and int(over) >= wire.EVERYTHING
            if owner == stream.worker and not ended:
                stream.strange_since = None
                return False
            if stream.strange_since is None:
                stream.strange_since = now
            lost = not owner and now - stream.strange_since < GRACE_SECONDS
            if lost and not ended:
                return False
            stream.closed = True
            return True

    def _close(self, stream: Stream) -> None:
        """Close a stream that is marked so, unless a thread is in it: that one does it then."""
        with stream.lock:
            if stream.busy:
                return
            stream.waiting.clear()
            stream.replies.clear()
        with self._lock:
            if self._kept.get(stream.member) is stream:
                del self._kept[stream.member]
        _let_go(stream)

    def _watch(self) -> None:
        looked = 0.0
        while True:
            self._any.wait()
            time.sleep(BEAT_SECONDS)
            try:
                self.tell()
                if time.monotonic() - looked >= LOOK_SECONDS:
                    looked = time.monotonic()
                    self.look()
            except redis.RedisError as error:
                _log.debug("Nobody can say who holds which slot: %s", error)
            except Exception:  # noqa: BLE001 - whatever it was, the others are to be looked after
                _log.exception("The streams could not be looked after")
            with self._lock:
                if not self._kept:
                    self._any.clear()


kept = Streams()


def render(request: RenderRequest, worker: str, picked_up: float) -> None:
    """Draw a fragment of a stateful model, or open its stream. Raises `redis.RedisError` and `WireError`."""
    queue = profiles.load_profile(request.model).live_queue
    asked = broker().pipeline(transaction=False)
    asked.get(request.epoch_key)
    asked.get(request.sound_key)
    over, sound = asked.execute()
    owner = slots.holders(queue, [request.member])[0]
    if answers.is_over(over, request) or owner not in ("", worker):
        return  # its session left, or is drawn for elsewhere
    if not request.opens:
        if sound is None:
            return  # drawn already and answered, or lost: then it is asked for again
        request = wire.with_sound(request, sound)
    broker().set(request.taken_key, worker, px=TAKEN_MS)
    kept.submit(Job(request, worker, picked_up))


def _noted(stream: Stream, job: Job) -> RenderReply | None:
    """Put a job in its place; return the reply of one that was drawn already."""
    request = job.request
    if request.opens:
        if not stream.busy:
            stream.waiting[wire.OPENING] = job
        elif stream.drawing is not None and stream.drawing.request.opens:
            stream.drawing = job
        return None
    if request.epoch < stream.epoch:
        return None
    if request.epoch > stream.epoch:
        opening = stream.waiting.pop(wire.OPENING, None)
        stream.epoch, stream.next = request.epoch, 0
        stream.waiting.clear()
        stream.replies.clear()
        if opening is not None:
            stream.waiting[wire.OPENING] = opening
    stream.next = max(stream.next, request.since)
    if request.number in stream.replies:
        return stream.replies[request.number]
    drawing = stream.drawing
    if drawing is not None and (drawing.request.epoch, drawing.request.number) == (
        request.epoch,
        request.number,
    ):
        return None
    stream.next = min(stream.next, request.number)  # too old to be remembered: it is drawn again
    stream.waiting[request.number] = job
    return None


def _remember(stream: Stream, reply: RenderReply) -> None:
    if reply.epoch != stream.epoch:
        return  # somebody interrupted
    stream.next = reply.number + 1
    stream.replies[reply.number] = reply
    while len(stream.replies) > KEPT_REPLIES:
        stream.replies.popitem(last=False)


def _drawn(stream: Stream, job: Job) -> RenderReply | None:
    """Make one fragment, or have the stream opened; None where the epoch is over."""
    request, began = job.request, time.perf_counter()
    data, code, retryable, seam = b"", "", False, False
    try:
        if request.opens:
            _ready(stream, request)
        else:
            data, seam = _continued(stream, request)
    except answers.Over:
        return None
    except Exception as error:  # noqa: BLE001 - whoever waits has to hear of it, whatever it was
        _let_go(stream)  # in whatever state it is, nothing of it is shown again
        code, retryable = answers.reason(request, error)
    return answers.made(
        request,
        job.worker,
        job.picked_up,
        began=began,
        data=data,
        code=code,
        retryable=retryable,
        seam=seam,
    )


def _continued(stream: Stream, request: RenderRequest) -> tuple[bytes, bool]:
    """The fragment, and whether it does not go on with the pictures before it."""
    wanted = (request.epoch, request.number)
    renderer = _ready(stream, request)
    if stream.place not in (None, wanted):
        renderer.reset(stream.state)
        stream.place = None
    seam = stream.place is None and request.number > 0
    seams = len(getattr(stream.state, "seams", ()))
    stream.place = (-1, -1)  # until it is whole, what it goes on with is not known
    data = answers.draw(renderer, stream.state, _whole(renderer.profile, request), request)
    stream.place = (request.epoch, request.number + 1)
    return data, seam or len(getattr(stream.state, "seams", ())) > seams


def _ready(stream: Stream, request: RenderRequest) -> StatefulRenderer:
    """Return the renderer of an open stream."""
    if stream.renderer is not None:
        return stream.renderer
    renderer: Any = actors.new_renderer(request.model)
    avatar = warming.avatar(wire.Wanted(request.model, request.bundle_key, request.bundle_sha256))
    stream.state = renderer.open_stream(avatar, start_frame=request.start_frame)
    stream.renderer, stream.place = renderer, None
    warm = getattr(renderer, "warm_stream", None)
    if warm is not None:
        warm(stream.state, live=True)
    return stream.renderer


def _let_go(stream: Stream) -> None:
    renderer, state = stream.renderer, stream.state
    stream.renderer = stream.state = stream.place = None
    if renderer is None:
        return
    try:
        renderer.close_stream(state)
    except Exception:  # noqa: BLE001 - it never raises; if it does, the worker goes on
        _log.exception("A stream of %s could not be closed", stream.model)


def _whole(profile: Profile, request: RenderRequest) -> AudioWindow:
    """The window, filled up with silence to whole chunks; what is filled up is not shown."""
    heard = answers.window(request)
    lack = -request.frames % profile.chunk_frames
    if not lack:
        return heard
    silence = np.zeros(lack * SAMPLES_PER_FRAME, np.int16)
    pcm = np.concatenate((heard.pcm, silence))
    return replace(heard, pcm=pcm, frames=request.frames + lack, shown=request.frames)
