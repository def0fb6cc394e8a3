"""What a live render worker has ready before anybody asks: loaded avatars, with their poses drawn.

A session says which avatar it will use when it opens. A thread of each worker loads it then, at low
priority, so that the first words do not wait for it; the worker itself loads what the thread has not.
"""

import hashlib
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import redis
from django.db import Error, connection

from generation.clips import actors
from generation.clips.warming import newest
from storage.errors import ObjectDamaged, StorageError
from storage.s3 import store
from workers import profiles
from workers.adapters.avatar.base import IDLE_FRAMES, SAMPLES_PER_FRAME, AudioWindow
from workers.adapters.errors import AdapterError
from workers.live import wire
from workers.live.broker import listener
from workers.live.wire import Wanted
from workers.rendering.fragment import render_fragment

AVATARS_KEPT = 8
DRY_FRAMES = 5
NICE = 10  # on top of the worker's own
BREATH_SECONDS = 0.002  # between two pictures drawn ahead of time
AGAIN_SECONDS = 1.0

_log = logging.getLogger(__name__)
_FAILURES = (AdapterError, StorageError, Error, OSError, ValueError)


class Avatars:
    """The avatars used last, shared by the threads of a process and loaded once."""

    def __init__(self, kept: int = AVATARS_KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._loaded: OrderedDict[Wanted, Any] = OrderedDict()
        self._loading: dict[Wanted, threading.Lock] = {}
        self._primed: set[Wanted] = set()

    def get(self, wanted: Wanted) -> Any:
        """Return an avatar, loading it first where needed. Raises `StorageError` and `AdapterError`."""
        with self._lock:
            if wanted in self._loaded:
                self._loaded.move_to_end(wanted)
                return self._loaded[wanted]
            loading = self._loading.setdefault(wanted, threading.Lock())
        with loading:
            if wanted not in self._loaded:
                loaded = _load(wanted)
                with self._lock:
                    self._loaded[wanted] = loaded
                    self._loading.pop(wanted, None)
                    while len(self._loaded) > self._kept:
                        self._primed.discard(self._loaded.popitem(last=False)[0])
                return loaded
        return self.get(wanted)

    def unprimed(self, wanted: Wanted) -> bool:
        """Whether nobody drew a loop with this avatar yet; who asks is the one to do it."""
        with self._lock:
            fresh = wanted not in self._primed
            self._primed.add(wanted)
            return fresh

    def not_primed(self, wanted: Wanted) -> None:
        """The loop was not drawn after all: whoever asks next is to do it."""
        with self._lock:
            self._primed.discard(wanted)


_avatars = Avatars()


def avatar(wanted: Wanted) -> Any:
    """Return a loaded avatar of this process."""
    return _avatars.get(wanted)


def begin(queues: Collection[str]) -> None:
    """Get ready for the first request, and start the thread that prepares for later ones."""
    for profile in profiles.profiles():
        if profile.live_queue in queues and profiles.is_installed(profile.id):
            with _going_on(profile.id):
                _begin(profile.id)
    threading.Thread(target=_keep_warm, args=(frozenset(queues),), name="warming", daemon=True).start()


def _begin(model: str) -> None:
    """Load the newest avatars, and draw a little, so that every library is in memory."""
    known = [Wanted(model, row.bundle_key, row.bundle_sha256) for row in newest(model)]
    for wanted in known:
        avatar(wanted)
    if known and profiles.load_profile(model).stateless:
        row = newest(model)[0]
        _draw(known[0], DRY_FRAMES, size=(row.width or 0, row.height or 0))


def prime(wanted: Wanted) -> None:
    """Load an avatar, and have it draw one loop of its motion: what it keeps of that is used ever after."""
    if not _avatars.unprimed(wanted):
        return
    try:
        if profiles.load_profile(wanted.model).stateless:
            _draw(wanted, IDLE_FRAMES)
        else:
            avatar(wanted)  # a stream that draws might hold a server that others wait for
    except BaseException:  # whatever it was is passed on; it is to be tried again
        _avatars.not_primed(wanted)
        raise


def _draw(wanted: Wanted, frames: int, *, size: tuple[int, int] | None = None) -> None:
    renderer = actors.renderer(wanted.model)
    profile = renderer.profile
    samples = profile.lookback_samples + frames * SAMPLES_PER_FRAME + profile.lookahead_samples
    silence = np.zeros(samples, np.int16)
    window = AudioWindow(silence, profile.lookback_samples, profile.lookahead_samples, 0, frames)
    stream = renderer.open_stream(avatar(wanted))
    if size is not None:
        render_fragment(renderer, stream, window, width=size[0], height=size[1])
        return
    for pose in renderer.infer(stream, renderer.extract_features(stream, window)):
        renderer.compose_frame(stream, pose)
        time.sleep(BREATH_SECONDS)


def _load(wanted: Wanted) -> Any:
    data = store().get_bytes(wanted.bundle_key, actors.BUNDLE_LIMIT_BYTES)
    if wanted.bundle_sha256 and hashlib.sha256(data).hexdigest() != wanted.bundle_sha256:
        raise ObjectDamaged(wanted.bundle_key)
    return actors.renderer(wanted.model).load(data)


def _keep_warm(queues: frozenset[str]) -> None:
    """The thread: hear of avatars, those of the last hour first, and prime them."""
    _step_back()
    while True:
        try:
            for text in listener(wire.WARM):
                _hear(text, queues)
        except redis.RedisError as error:
            _log.debug("Nobody tells which avatars will be needed: %s", error)
        time.sleep(AGAIN_SECONDS)


def _hear(text: bytes, queues: frozenset[str]) -> None:
    with _going_on("An avatar"):
        wanted = wire.load_wanted(text)
        if profiles.is_installed(wanted.model) and profiles.load_profile(wanted.model).live_queue in queues:
            prime(wanted)
    connection.close()


@contextmanager
def _going_on(what: str) -> Iterator[None]:
    """Prepare the others all the same: what is wrong will be said to whoever asks for it."""
    try:
        yield
    except _FAILURES as error:
        _log.info("%s is not warm: %s", what, error)
    except Exception:  # noqa: BLE001 - a bundle can be wrong in any way, and the worker is to live
        _log.exception("%s is not warm", what)


def _step_back() -> None:
    """Lower this thread's priority; Linux has one for each thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
