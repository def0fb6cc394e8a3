"""Looks at what a server draws: is it a model, is it ours?"""

from collections.abc import Sequence

from workers.adapters.avatar.base import Picture
from workers.adapters.avatar.remote.client import Announced
from workers.adapters.avatar.remote.decoding import (
    Thumbnail,
    apart,
    covering,
    flat,
    reduced,
    size_of,
    thumbnail,
)
from workers.adapters.avatar.remote.faults import fault
from workers.adapters.errors import AdapterError

OTHER_SCENE = 30.0
"""Thumbnails of one scene, a second apart, differ by less; those of two people by more."""


class Gate:
    """Inspects the answers of one stream.

    With a `reference` it also watches that the scene stays the same: a server with one session for
    everybody draws the newcomer's face for us when somebody takes the session over.
    """

    def __init__(self, provider: str, reference: Picture | None = None) -> None:
        self._provider, self._reference = provider, reference
        self._last: Thumbnail | None = None
        self._since = 0  # pictures since one was looked at, that one counted

    def __call__(self, pictures: Sequence[bytes], announced: Announced, first: bool) -> None:
        """Raises `AdapterError`: `model_fake`, `frames_malformed`, `model_lost`."""
        for jpeg in pictures:
            self._measure(jpeg, announced)
        if first:
            self._since = 0
            self._greet(pictures)
        if self._reference is not None:
            self._watch(pictures, announced, self._reference)

    def _measure(self, jpeg: bytes, announced: Announced) -> None:
        size = size_of(jpeg)
        if size is None:
            raise fault("frames_malformed", "The model's server sent no JPEG.", self._provider)
        if size != (announced.width, announced.height):
            told = f"{size[0]}x{size[1]} where {announced.width}x{announced.height} was announced"
            raise fault("frames_malformed", f"The model's server sent a picture of {told}.", self._provider)

    def _greet(self, pictures: Sequence[bytes]) -> None:
        if flat([reduced(jpeg, self._provider) for jpeg in (pictures[0], pictures[-1])]):
            raise self._fake()

    def _watch(self, pictures: Sequence[bytes], announced: Announced, reference: Picture) -> None:
        """Look at the first picture of each chunk: a server draws a chunk for one session alone."""
        if self._since and self._since < announced.slice_frames:
            self._since += len(pictures)
            return
        seen = thumbnail(reduced(pictures[0], self._provider))
        if self._last is None:
            self._last = thumbnail(covering(reference, announced.width, announced.height))
        if apart(seen, self._last) > OTHER_SCENE:
            raise self._foreign()
        self._last, self._since = seen, len(pictures)

    def _fake(self) -> AdapterError:
        message = "The model's server runs no model: its pictures show one colour."
        return fault("model_fake", message, self._provider)

    def _foreign(self) -> AdapterError:
        message = "The model's server drew another scene: somebody else uses its session."
        return fault("model_lost", message, self._provider)
