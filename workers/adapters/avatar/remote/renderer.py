"""Avatars that a server draws: sound goes to it chunk by chunk, its pictures become ours.

Pictures are fetched while they are composed, so that the server draws the next chunk while the last one
is encoded here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from workers.adapters.avatar.base import (
    I420,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    AudioWindow,
    Background,
    Pcm,
    Picture,
    StatefulRenderer,
)
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.remote import bundle, decoding, idle
from workers.adapters.avatar.remote.availability import check, resource
from workers.adapters.avatar.remote.client import Announced, Client, Dialect
from workers.adapters.avatar.remote.faults import fault
from workers.adapters.avatar.remote.feed import Feed
from workers.adapters.avatar.remote.gate import Gate
from workers.adapters.avatar.remote.options import RemoteOptions
from workers.adapters.avatar.runtime import Lease, Runtime

FLUSHES = 3
"""So many chunks of silence follow the last sound, to get its pictures out of a server that lags."""
MADE_UP = 3
"""So many pictures may be missing at the end: the last one is shown instead."""


@dataclass(frozen=True, slots=True)
class Avatar:
    """A prepared portrait, shared between streams."""

    reference: bundle.Reference
    picture: Picture


@dataclass(frozen=True, slots=True)
class Pose:
    """One frame of a window: which picture of the stream it is, and how it is blended."""

    number: int  # in the avatar's motion
    frame: int  # in the stream
    share: float


@dataclass(slots=True)
class Piece:
    """Sound that belongs together, as far as it is known: an utterance, or a whole clip."""

    start_frame: int  # in the avatar's motion
    base: int  # the stream's frame that it begins with
    next_frame: int
    sent: int = 0  # samples
    known: Pcm = field(default_factory=lambda: np.zeros(0, np.int16))  # what comes behind those
    ended: bool = False
    flushes: int = 0


@dataclass(slots=True)
class RemoteStream:
    """One session on the server. Not thread-safe."""

    avatar: Avatar
    feed: Feed
    held: ExitStack
    loop: idle.Loop | None = None
    lease: Lease | None = None
    piece: Piece | None = None
    live: bool = False
    stale: bool = False
    since: int = 0  # chunks before the session that is used now
    last: bytes = b""
    places: list[tuple[int, int]] = field(default_factory=list)  # (stream's frame, motion's) of each piece

    @property
    def seams(self) -> list[int]:
        """The frames before which continuity was lost, numbered as in the avatar's motion."""
        return [self._numbered(frame) for frame in self.feed.seams]

    def _numbered(self, frame: int) -> int:
        base, start = next((pair for pair in reversed(self.places) if pair[0] <= frame), (0, 0))
        return start + frame - base


class RemoteRenderer(StatefulRenderer):
    """Draws on the server that the model's configuration names."""

    def __init__(
        self, config: ModelConfig, runtime: Runtime, options: RemoteOptions, dialect: Dialect
    ) -> None:
        self.profile = config.profile
        self._model, self._runtime = config.id, runtime
        self._options, self._dialect = options, dialect
        self._url = runtime.endpoint.ws_url(options.path)

    def warm(self) -> None:
        """Ask whether the server is there and draws, without disturbing it. Raises `AdapterError`."""
        check(self._runtime.endpoint, self._runtime.host, self._model, listed=self._options.listed)

    def load(self, data: bytes) -> Avatar:
        reference = bundle.unpack(data, self._model)
        picture = decoding.decoded(reference.picture, self._model)
        return Avatar(reference, decoding.covering(picture, reference.width, reference.height))

    def open_stream(
        self, avatar: Avatar, *, start_frame: int = 0, background: Background | None = None
    ) -> RemoteStream:
        """Nothing is asked of the server before `warm_stream` or the first window."""
        reference = avatar.reference
        size = {"width": reference.width, "height": reference.height} if self._options.sends_size else {}
        opening = self._dialect.opening(reference.picture, {**size, **reference.facts})
        stream: RemoteStream

        def hold() -> None:
            if stream.lease is not None:
                stream.lease.check()

        scene = avatar.picture if self._options.exclusive and self._options.watch_scene else None
        feed = Feed(
            partial(self._begun, opening),
            provider=self._model,
            preroll=self._options.preroll_chunks,
            check=hold,
            inspect=Gate(self._model, scene),
        )
        stream = RemoteStream(avatar, feed, ExitStack())
        return stream

    def warm_stream(self, stream: RemoteStream, *, live: bool) -> Announced:
        """Take the server's lease and begin the session, which may last minutes.

        Raises `AdapterError`: `model_busy` while another holds it, `model_profile_mismatch` where a live
        session would get its pictures in other portions than those it asks for.
        """
        stream.live = live
        if self._options.exclusive and stream.lease is None:
            wait = self._options.lease_wait_seconds if live else 0.0
            stream.lease = stream.held.enter_context(
                self._runtime.host.lease(resource(self._url), live=live, wait_seconds=wait)
            )
        announced = stream.feed.announced
        if live and announced.slice_frames != self.profile.chunk_frames:
            raise self._mismatch(
                f"draws {announced.slice_frames} frames at a time where the profile says "
                f"{self.profile.chunk_frames}"
            )
        return announced

    def wanted(self, stream: RemoteStream) -> bool:
        """Whether a live session waits for the server that this stream holds."""
        return stream.lease is not None and stream.lease.wanted

    def extract_features(self, stream: RemoteStream, window: AudioWindow) -> Sequence[Pose]:
        """Hear the window, and send its first chunk."""
        self.warm_stream(stream, live=window.live)
        piece = stream.piece
        if piece is None or window.first or not _continues(window, piece):
            piece = stream.piece = self._piece(stream, window)
        piece.known = window.pcm[_unsent(window, piece) :]
        piece.ended = window.last
        piece.next_frame = window.start_frame + window.frames
        self._advance(stream, piece, piece.base + piece.next_frame - piece.start_frame)
        return self._poses(window, piece)

    def infer(self, stream: RemoteStream, features: Sequence[Pose]) -> Sequence[Pose]:
        return features

    def compose_frame(self, stream: RemoteStream, pose: Pose) -> I420:
        avatar = stream.avatar
        width, height = avatar.reference.width, avatar.reference.height
        picture = decoding.drawn(self._fetched(stream, pose.frame), width, height, self._model)
        if pose.share >= 1.0:
            return picture
        if stream.loop is None:
            stream.loop = idle.Loop(avatar.picture, avatar.reference.idle)
        return idle.blended(picture, stream.loop.frame(pose.number), pose.share)

    def reset(self, stream: RemoteStream) -> None:
        """What comes next is a new piece of sound.

        By default the server's session goes on: to begin another may last longer than somebody who
        interrupted would wait, and what was heard so far is soon out of its hearing.
        """
        stream.stale = self._options.renews_on_reset and stream.feed.chunks > stream.since
        stream.piece = None

    def close_stream(self, stream: RemoteStream) -> None:
        """Leave the server, then let others at it: a session that ends later would end theirs."""
        try:
            stream.feed.close()
        finally:
            stream.held.close()
            stream.lease = None

    def _begun(self, opening: str) -> Client:
        client = Client(
            self._url,
            self._runtime.endpoint.headers,
            self._dialect,
            provider=self._model,
            deadlines=self._options.deadlines,
            progressive=self._options.progressive,
        )
        client.begin(opening)
        return client

    def _piece(self, stream: RemoteStream, window: AudioWindow) -> Piece:
        feed = stream.feed
        if stream.stale:
            feed.forget()
            stream.stale, stream.since = False, feed.chunks
        base = feed.chunks * feed.announced.slice_frames
        stream.places = [*stream.places[-63:], (base, window.start_frame)]
        return Piece(window.start_frame, base, window.start_frame)

    def _poses(self, window: AudioWindow, piece: Piece) -> list[Pose]:
        first, last = window.live and window.first, window.live and window.last
        begin = piece.base + window.start_frame - piece.start_frame
        fade = self._options.crossfade_frames
        return [
            Pose(
                window.start_frame + place,
                begin + place,
                idle.share_of(place, window.visible, fade, first=first, last=last),
            )
            for place in range(window.frames)
        ]

    def _fetched(self, stream: RemoteStream, frame: int) -> bytes:
        """The picture of this frame, waited for."""
        piece, feed = stream.piece, stream.feed
        if piece is None:
            raise RuntimeError("a pose of a stream that was reset")
        end = piece.base + piece.next_frame - piece.start_frame
        while (picture := feed.take(frame)) is None:
            if not feed.waiting and not self._advance(stream, piece, end):
                return self._made_up(stream, frame)
            feed.receive()
            self._advance(stream, piece, end)
        stream.last = picture
        return picture

    def _advance(self, stream: RemoteStream, piece: Piece, end: int) -> bool:
        """Send the next chunk, unless one is under way or enough was heard for all frames before `end`.

        False where there is nothing more to be sent.
        """
        feed, samples = stream.feed, stream.feed.announced.chunk_samples
        if feed.waiting or (feed.received >= end and (stream.live or len(piece.known) < samples)):
            return True
        if self._due(stream):
            feed.close()  # the next session hears the newest chunks again
            stream.since = feed.chunks
        whole = len(piece.known) >= samples
        if not whole and not piece.ended:
            lack = end - feed.received
            raise self._mismatch(f"hears more ahead than the profile's sound ({lack} frames are missing)")
        if not len(piece.known):
            piece.flushes += 1
            if piece.flushes > FLUSHES:
                return False
        chunk = np.zeros(samples, np.int16)
        heard = piece.known[:samples]
        chunk[: len(heard)] = heard
        piece.known, piece.sent = piece.known[samples:], piece.sent + samples
        feed.send(chunk)
        return True

    def _due(self, stream: RemoteStream) -> bool:
        """Whether the session has heard so much that the server grows slow."""
        seconds = self._options.renew_seconds
        heard = (stream.feed.chunks - stream.since) * stream.feed.announced.chunk_samples
        return seconds > 0 and heard >= seconds * SAMPLE_RATE

    def _made_up(self, stream: RemoteStream, frame: int) -> bytes:
        if frame - stream.feed.received >= MADE_UP or not stream.last:
            message = "The model's server drew fewer pictures than there is sound."
            raise fault("frames_missing", message, self._model)
        return stream.last

    def _mismatch(self, what: str) -> Exception:
        return fault("model_profile_mismatch", f"The server of {self._model} {what}.", self._model)


def _unsent(window: AudioWindow, piece: Piece) -> int:
    """Where in the window's sound the first sample is that was not sent yet; negative if it is gone."""
    return window.lookback + piece.sent - (window.start_frame - piece.start_frame) * SAMPLES_PER_FRAME


def _continues(window: AudioWindow, piece: Piece) -> bool:
    return not piece.ended and window.start_frame == piece.next_frame and _unsent(window, piece) >= 0
