"""What a render process keeps between fragments: renderers, loaded avatars, sound.

Renderers are not thread-safe, so each thread has its own. Loaded avatars are large, and shared by all.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from generation.clips.models import Clip
from generation.clips.scene import Scene, make_scene
from generation.clips.sound import Pcm
from storage.errors import ObjectDamaged
from storage.s3 import store
from workers import profiles
from workers.adapters import registry
from workers.adapters.avatar.base import Renderer
from workers.adapters.avatar.runtime import Runtime
from workers.gpu import current

AVATARS_KEPT = 6
UTTERANCES_KEPT = 12
SCENES_KEPT = 3
BUNDLE_LIMIT_BYTES = 256 * 1024 * 1024


class _Kept:
    """The values used last, made when they are asked for."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key not in self._values:
            self._values[key] = make()
        self._values.move_to_end(key)
        while len(self._values) > self._size:
            self._values.popitem(last=False)
        return self._values[key]

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values


class _Shared:
    """As `_Kept`, for several threads: each value is made once, and making one holds up nobody else."""

    def __init__(self, size: int) -> None:
        self._kept = _Kept(size)
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self._kept:
                return self._kept.get(key, make)
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._kept:
                    return self._kept.get(key, make)
            try:
                made = make()
            except BaseException:
                with self._lock:
                    self._making.pop(key, None)
                raise
            with self._lock:
                self._making.pop(key, None)
                return self._kept.get(key, lambda: made)


class _Thread(threading.local):
    def __init__(self) -> None:
        self.renderers: dict[str, Renderer] = {}
        self.scenes = _Kept(SCENES_KEPT)
        self.pcm = _Kept(UTTERANCES_KEPT)


_own = _Thread()
_avatars = _Shared(AVATARS_KEPT)


def renderer(model: str) -> Renderer:
    """Return this thread's renderer of a model."""
    if model not in _own.renderers:
        _own.renderers[model] = new_renderer(model)
    return _own.renderers[model]


def new_renderer(model: str) -> Renderer:
    """Make a renderer for whoever uses it in one thread at a time, such as one kept stream."""
    config = profiles.config(model)
    return registry.renderer(config, Runtime(current.host(), config.endpoint))


def avatar(of: Renderer, bundle_key: str, sha256: str) -> Any:
    """Return a loaded avatar. A bundle's key names its version, so its bytes never change."""

    def load() -> Any:
        data = store().get_bytes(bundle_key, BUNDLE_LIMIT_BYTES)
        if sha256 and hashlib.sha256(data).hexdigest() != sha256:
            raise ObjectDamaged(bundle_key)
        return of.load(data)

    return _avatars.get((of.profile.id, bundle_key), load)


def scene(clip: Clip) -> Scene:
    """Return what stands around the avatar in a clip: drawn once, then the same for every fragment."""
    return _own.scenes.get(clip.pk, lambda: make_scene(clip))  # type: ignore[no-any-return]


def load_pcm(key: str) -> Pcm:
    """Return the 48 kHz sound of an utterance; the one next to it will be asked for soon."""
    return _own.pcm.get(key, lambda: np.frombuffer(store().get_bytes(key), np.int16))  # type: ignore[no-any-return]
