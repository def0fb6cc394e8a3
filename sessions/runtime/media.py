"""What one session is sent and what comes back: playout, its clock, and the peer of the moment."""

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Any, Protocol

from rtc.clock import Driven, Pump
from rtc.frames import FRAME_MS, FRAME_SECONDS, IdleLoop
from rtc.ice import IceConfig
from rtc.peer import Peer, PeerListener
from rtc.playout import Playout, PlayoutListener

_log = logging.getLogger(__name__)

EARLY_CANDIDATES = 50


class MediaListener(Protocol):
    """What a session hears of its media. Called on the event loop; must not wait."""

    def peer_connected(self, first_frame_ms: int | None) -> None:
        """A client can see and hear; `first_frame_ms` from its offer on, None when it was away only."""

    def peer_lost(self, reason: str) -> None: ...

    def quality(self, level: str) -> None: ...

    def microphone(self, pcm16k: bytes) -> None: ...


class _Watch(PeerListener):
    """Hears one peer, and passes on what it says as long as it is the one of the moment."""

    def __init__(self, media: "Media", name: str | int | None) -> None:
        self._media = media
        self.name = name  # what the client calls its offer
        self.early: list[dict[str, Any] | None] = []  # candidates that came before the answer was made
        self.peer: Peer | None = None
        self._offered_at = time.monotonic()
        self._after_ms: int | None = None

    def connected_after_ms(self) -> int | None:
        """Return how long the first connection took from the offer; None when told before."""
        if self._after_ms is not None:
            return None
        self._after_ms = round((time.monotonic() - self._offered_at) * 1000)
        return self._after_ms

    def connected(self) -> None:
        self._media.took_over(self)

    def disconnected(self, reason: str) -> None:
        self._media.lost(self, reason)

    def keyframe_wanted(self) -> None:
        if self._media.watch is self:
            self._media.playout.refresh()

    def quality(self, level: str) -> None:
        if self._media.watch is self:
            self._media.listener.quality(level)

    def microphone(self, pcm16k: bytes) -> None:
        if self._media.watch is self:
            self._media.listener.microphone(pcm16k)


class Media:
    """Drives the playout of one session and sends it to at most one peer.

    `origin` is the wall clock at frame 0 (Unix seconds); None until the first peer is there.
    """

    def __init__(
        self,
        idle: IdleLoop,
        *,
        listener: MediaListener,
        played: PlayoutListener,
        pump: Pump,
        ice: IceConfig,
        user: str,
        origin: float | None,
    ) -> None:
        self.listener = listener
        self.watch: _Watch | None = None
        self.origin = origin
        self._offset = time.time() - time.monotonic()
        first = self._frame_now() if origin is not None else 0
        self.playout = Playout(idle, listener=played, first_frame=first)
        self.playout.hold(True)
        self._pump, self._ice, self._user = pump, ice, user
        self._silent = False
        self._driven: Driven | None = None
        self._coming: _Watch | None = None
        self._closing: set[asyncio.Task[None]] = set()

    # --- The timeline ----------------------------------------------------------------------

    def _frame_now(self) -> int:
        if self.origin is None:
            return 0
        return max(0, int((time.monotonic() + self._offset - self.origin) / FRAME_SECONDS))

    def frame(self) -> int:
        """Return the frame that is presented next; 0 before the first peer."""
        return self.playout.frame if self._driven is not None else self._frame_now()

    def at_ms(self) -> int:
        """Return the time on the session's timeline; 0 before the first peer."""
        return self.frame() * FRAME_MS

    @property
    def connected(self) -> bool:
        return self.watch is not None and not self._silent

    # --- Peers -----------------------------------------------------------------------------

    async def answer(self, sdp: str, name: str | int | None = None) -> str | None:
        """Answer an offer; raises PeerError. The present peer goes on until the new one is connected.

        None when a newer offer came meanwhile, so that this one matters no more.
        """
        watch = _Watch(self, name)
        previous, self._coming = self._coming, watch
        if previous is not None and previous.peer is not None:
            self._close(previous.peer)
        try:
            peer = watch.peer = await Peer.answer(sdp, ice=self._ice, on_event=watch, user=self._user)
        except BaseException:
            if self._coming is watch:
                self._coming = None
            raise
        if self._coming is not watch:  # a newer offer came meanwhile
            self._close(peer)
            return None
        for candidate in watch.early:
            await peer.add_candidate(candidate)
        # The clock starts before the connection is there, so that the first picture is ready for it.
        self._start()
        return peer.answer_sdp

    async def candidate(self, candidate: dict[str, Any] | None, name: str | int | None = None) -> None:
        """Add a candidate of the client to the newest peer, or to that of the offer of this name."""
        watch = self._coming or self.watch
        if watch is None or name not in (None, watch.name):
            return
        if watch.peer is not None:
            await watch.peer.add_candidate(candidate)
        elif len(watch.early) < EARLY_CANDIDATES:
            watch.early.append(candidate)

    def restart(self) -> None:
        """The client gave its peer up and will send another offer."""
        watch, self.watch = self.watch, None
        if watch is not None:
            self._hold("restart", watch)

    def took_over(self, watch: _Watch) -> None:
        """A peer is connected, for the first time or again: it is the one of the moment."""
        if watch is self._coming:
            before, self.watch, self._coming = self.watch, watch, None
            if before is not None and before.peer is not None:
                self._close(before.peer)
            self.playout.refresh()
        elif watch is not self.watch:
            return
        self._silent = False
        self.playout.hold(False)
        self.listener.peer_connected(watch.connected_after_ms())

    def lost(self, watch: _Watch, reason: str) -> None:
        if watch is self._coming:
            self._coming = None
        elif watch is self.watch and reason == "silent":  # it may be heard again
            self._silent = True
            self.playout.hold(True)
            self.listener.peer_lost(reason)
        elif watch is self.watch:
            self.watch = None
            self._hold(reason, watch)

    def _hold(self, reason: str, watch: _Watch) -> None:
        """Speech waits until somebody can hear it again."""
        self.playout.hold(True)
        if watch.peer is not None:
            self._close(watch.peer)
        self.listener.peer_lost(reason)

    def _close(self, peer: Peer) -> None:
        task = asyncio.create_task(_closed(peer.close()), name="close peer")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    # --- The clock -------------------------------------------------------------------------

    def _start(self) -> None:
        if self._driven is not None:
            return
        if self.origin is None:
            self.origin = time.monotonic() + self._offset
        self._driven = self._pump.add(self._drive, self.origin - self._offset)

    def _drive(self, frame: int) -> None:
        """Present one frame; called by the pump 25 times a second."""
        tick = self.playout.tick(max(frame, self.playout.frame))
        for watch in (self.watch, self._coming):
            if watch is not None and watch.peer is not None:
                watch.peer.send(tick)

    def stats(self) -> Any:
        """Return what the present peer measures, or None."""
        watch = self.watch
        return watch.peer.stats() if watch is not None and watch.peer is not None else None

    async def close(self) -> None:
        """Stop the clock and let go of every peer."""
        if self._driven is not None:
            self._pump.remove(self._driven)
            self._driven = None
        for watch in (self.watch, self._coming):
            if watch is not None and watch.peer is not None:
                self._close(watch.peer)
        self.watch = self._coming = None
        self.playout.interrupt()
        self.playout.flush()
        if self._closing:
            await asyncio.wait(self._closing, timeout=5)


async def _closed(closing: Awaitable[None]) -> None:
    try:
        await closing
    except Exception:  # noqa: BLE001 - whatever a transport says at its end, the session goes on without it
        _log.exception("A peer did not close cleanly")
