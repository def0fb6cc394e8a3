"""One fragment from sound to bytes: hear, decide, draw, encode, with nothing kept in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np

from workers.adapters.avatar.base import I420, AudioWindow, Renderer
from workers.adapters.avatar.film import Limits
from workers.rendering.encode import CRF, KEYINT, LOW_CRF, PRESET, EncodedFragment, FragmentEncoder
from workers.rendering.foreign import admit, decode


@runtime_checkable
class Filming(Protocol):
    """A renderer whose service may answer with a finished film (an MP4) of the window's frames."""

    def encoded(self, stream: Any, window: AudioWindow) -> bytes | None:
        """Return the film, or None: then the window is drawn frame by frame."""


class Overlay(Protocol):
    """Draws on top of a picture of the film, in place."""

    def active(self, frame: int) -> bool: ...

    def draw(self, picture: I420, frame: int) -> None: ...


class Stage(Protocol):
    """Puts the avatar's picture into the film's; what it returns is valid until the next call."""

    width: int
    height: int

    def place(self, picture: I420) -> I420: ...


def render_fragment(
    renderer: Renderer,
    stream: Any,
    window: AudioWindow,
    *,
    width: int,
    height: int,
    crf: float = CRF,
    preset: str = PRESET,
    keyint: int = KEYINT,
    threads: int = 1,
    overlay: Overlay | None = None,
    canvas: Stage | None = None,
    check: Callable[[], None] = lambda: None,
) -> EncodedFragment:
    """Draw and encode the frames of `window`; `width` and `height` are the avatar's.

    A film that the renderer offers is passed through if it is a fragment already, unless the
    pictures are needed: for a canvas, captions, or the lower rendition. `check` is called before
    each frame and stops the work by raising. Of a window that was filled up, the fragment holds the
    visible frames; the others are drawn all the same, since a stream has to get past them.
    Raises `AdapterError` from the renderer.
    """
    whole = canvas is None and overlay is None and crf < LOW_CRF and window.visible == window.frames
    film = renderer.encoded(stream, window) if whole and isinstance(renderer, Filming) else None
    passed = admit(film, frames=window.frames, width=width, height=height) if film is not None else None
    if passed is not None:
        check()
        return passed
    size = (canvas.width, canvas.height) if canvas else (width, height)
    encoder = FragmentEncoder(
        width=size[0], height=size[1], crf=crf, preset=preset, keyint=keyint, threads=threads
    )
    finish = Finisher(canvas, overlay)
    if film is None:
        pictures = _drawn(renderer, stream, window, check)
    else:
        limits = Limits(window.frames, width, height)
        pictures = _shown(decode(film, limits=limits, provider=renderer.profile.id), check)
    for frame, picture in enumerate(pictures, window.start_frame):
        if frame < window.start_frame + window.visible:
            encoder.push(finish(picture, frame))
    return encoder.finish()


def _drawn(renderer: Renderer, stream: Any, window: AudioWindow, check: Callable[[], None]) -> Iterator[I420]:
    for pose in renderer.infer(stream, renderer.extract_features(stream, window)):
        check()
        yield renderer.compose_frame(stream, pose)


def _shown(pictures: Iterator[I420], check: Callable[[], None]) -> Iterator[I420]:
    for picture in pictures:
        check()
        yield picture


class Finisher:
    """Places a drawn picture on its canvas and puts the caption over it.

    Captions go onto a copy: a renderer redraws only what moved, and would keep the text.
    """

    def __init__(self, canvas: Stage | None, overlay: Overlay | None) -> None:
        self._canvas, self._overlay = canvas, overlay
        self._copy: I420 | None = None

    def __call__(self, picture: I420, frame: int) -> I420:
        """Return the picture of the film, valid until the next call."""
        if self._canvas:
            picture = self._canvas.place(picture)
        if self._overlay is None or not self._overlay.active(frame):
            return picture
        if self._copy is None:
            self._copy = np.empty_like(picture)
        np.copyto(self._copy, picture)
        self._overlay.draw(self._copy, frame)
        return self._copy
