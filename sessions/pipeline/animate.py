"""From the track to playout: chunks are drawn in order, joined with their sound, and pushed.

The first chunk is short, so that speech begins soon; the next ones grow with what waits in playout.
At most `IN_FLIGHT` are with the workers, and no more than a few seconds wait to be played: what
lies ahead is lost when somebody interrupts. Chunks of a stateful model are whole multiples of what it
draws at a time; the worker fills up the last one of an utterance, and what lies behind it is not shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rtc.frames import Segment
from rtc.opus import OpusEncoder
from rtc.packets import MediaMalformed, access_units
from sessions.pipeline.faults import Fault
from sessions.pipeline.measures import Measures
from sessions.pipeline.pace import Pace
from sessions.pipeline.ports import Chunk, Limits, Rendered, Stage
from sessions.pipeline.track import SAMPLES_PER_FRAME, Stretch, Track
from workers.live.errors import RenderCancelled, RenderFailed, RenderUnavailable

IN_FLIGHT = 2
FRAME_SECONDS = 0.04
SIZES = ((3, 5), (10, 10), (20, 20))
"""(frames that wait to be played, frames of the next chunk), while fewer wait; then `LARGEST`."""
LARGEST = 25
FIRST_PATIENCE_SECONDS = 0.03
"""So long the first chunk waits for its look-ahead and phones: the mouth moves better with them."""
MARGIN_SECONDS = 0.08
SLICE_FRAMES = 5
"""Sound is encoded in steps of this size, 2 ms each, so that other sessions' frames leave in time."""


class Animator:
    """Animates one reply.

    `timed` says that its voice tells phones. Nothing is pushed before `may_push` is set; `pushed`
    is told each span with its sound.
    """

    def __init__(
        self,
        stage: Stage,
        track: Track,
        *,
        epoch: int,
        pace: Pace,
        limits: Limits,
        measures: Measures,
        timed: bool,
        may_push: asyncio.Event,
        pushed: Callable[[Stretch, bytes], None],
    ) -> None:
        self._stage, self._track, self._epoch = stage, track, epoch
        self._pace, self._limits, self._measures, self._timed = pace, limits, measures, timed
        self._may_push, self._pushed = may_push, pushed
        self._encoder = OpusEncoder()
        self._flights = asyncio.Semaphore(IN_FLIGHT)
        self._requests = 0  # chunks that are with the workers
        self._flying = 0  # frames that are on their way to playout
        self._number = 0
        self._phase = 0

    async def run(self) -> None:
        """Draw and push until the track is over. Raises `Fault`; cancelling it forgets its requests."""
        try:
            async with asyncio.TaskGroup() as flights:
                pushed: asyncio.Task[None] | None = None
                while (span := await self._next_span()) is not None:
                    pushed = await self._launch(flights, span, pushed)
        except BaseExceptionGroup as failed:
            faults, rest = failed.split(Fault)
            if faults is None or rest is not None:
                raise
            raise _first(faults) from failed

    async def _next_span(self) -> Stretch | None:
        await self._flights.acquire()
        await self._room()
        span = await self._track.take(self._size(), self._patience(), timed=self._timed)
        if span is None or self._stage.playout.epoch != self._epoch:
            self._flights.release()
            return None
        return span

    async def _room(self) -> None:
        while (over := self._ahead() - self._limits.ahead_frames) > 0:  # noqa: ASYNC110 - playout tells nobody
            await asyncio.sleep(min(over, LARGEST) * FRAME_SECONDS)

    def _ahead(self) -> int:
        """Frames between what is heard now and what was not asked for yet."""
        return self._stage.playout.queued_frames() + self._flying

    def _size(self) -> int:
        ahead, profile = self._ahead(), self._track.profile
        size = next((size for below, size in SIZES if ahead < below), LARGEST)
        if profile.stateless:
            return size
        return max(size - size % profile.chunk_frames, profile.chunk_frames)

    def _patience(self) -> Callable[[], float]:
        """How long a chunk that could go may wait for what makes it better; see `Track.take`."""
        now = asyncio.get_running_loop().time
        begun: list[float] = []

        def seconds() -> float:
            begun.append(now())
            slack = self._ahead() * FRAME_SECONDS - self._pace.seconds(self._size()) - MARGIN_SECONDS
            return max(slack, begun[0] + FIRST_PATIENCE_SECONDS - now())

        return seconds

    async def _launch(
        self, flights: asyncio.TaskGroup, span: Stretch, before: asyncio.Task[None] | None
    ) -> asyncio.Task[None]:
        chunk, sound = self._chunk(span), self._track.sound(span)
        self._track.release()
        self._flying += span.frames
        packets: asyncio.Future[tuple[bytes, ...]] = asyncio.get_running_loop().create_future()
        task = flights.create_task(self._deliver(span, chunk, sound, packets, before))
        await asyncio.sleep(0)  # the request leaves before the sound is encoded
        packets.set_result(await self._encoded(sound))
        return task

    def _chunk(self, span: Stretch) -> Chunk:
        from_idle = not self._ahead()
        if from_idle:
            # Where the idle loop will be when this chunk comes back.
            steps = int(self._pace.seconds(span.frames) / FRAME_SECONDS)
            self._phase = self._stage.playout.phase + steps
        profile = self._track.profile
        chunk = Chunk(
            epoch=self._epoch,
            number=self._number,
            start_frame=self._phase,
            frames=span.frames,
            pcm16k=self._track.window(span),
            lookback=profile.lookback_samples,
            lookahead=profile.lookahead_samples,
            phones=self._track.phones(span),
            first=from_idle,
            last=span.last and self._track.over,
        )
        self._number, self._phase = self._number + 1, self._phase + span.frames
        self._measures.queue_depth = max(self._measures.queue_depth, self._requests + 1)
        return chunk

    async def _encoded(self, sound: bytes) -> tuple[bytes, ...]:
        packets: list[bytes] = []
        step = SLICE_FRAMES * SAMPLES_PER_FRAME * 2
        for start in range(0, len(sound), step):
            packets += self._encoder.push(sound[start : start + step])
            await asyncio.sleep(0)
        return tuple(packets)

    async def _deliver(
        self,
        span: Stretch,
        chunk: Chunk,
        sound: bytes,
        packets: asyncio.Future[tuple[bytes, ...]],
        before: asyncio.Task[None] | None,
    ) -> None:
        try:
            self._measures.waterfall.begin("render", span.utterance)
            drawn = await self._drawn(chunk)
            self._measures.waterfall.first("render", span.utterance)
        finally:
            self._measures.waterfall.end("render", span.utterance)
            self._flights.release()
        opus = await packets
        if before is not None:
            await asyncio.wait([before])
        await self._may_push.wait()
        self._flying -= span.frames
        self._push(span, chunk, drawn, sound, opus)

    async def _drawn(self, chunk: Chunk) -> Rendered:
        now = asyncio.get_running_loop().time
        self._measures.mark("first_request")
        asked = now()
        self._requests += 1
        try:
            async with asyncio.timeout(self._limits.render_seconds):
                drawn = await self._stage.render(chunk)
        except TimeoutError as exc:
            raise Fault("rendering", "render_timeout", "The picture was not drawn in time.") from exc
        except (RenderFailed, RenderUnavailable, RenderCancelled) as exc:
            raise Fault("rendering", exc.code, "The picture could not be drawn.") from exc
        finally:
            self._requests -= 1
        self._measures.mark("first_fragment")
        self._measures.drawn(chunk.frames, drawn.render_ms, drawn.queue_ms, seam=drawn.seam)
        self._pace.took(chunk.frames, now() - asked, drawn.render_ms / 1000)
        return drawn

    def _push(
        self, span: Stretch, chunk: Chunk, drawn: Rendered, sound: bytes, opus: tuple[bytes, ...]
    ) -> None:
        try:
            segment = Segment(
                epoch=self._epoch,
                utterance=span.utterance,
                index=span.index,
                start_phase=chunk.start_frame,
                units=access_units(drawn.data),
                packets=opus,
                last=span.last,
                tag=self._stage.record(drawn.data, sound, span.utterance),
            )
        except (MediaMalformed, ValueError) as exc:
            raise Fault(
                "rendering", "render_malformed", "The picture that was drawn cannot be shown."
            ) from exc
        if self._stage.playout.push(segment):
            self._measures.mark("first_pushed")
            self._pushed(span, sound)


def _first(group: BaseExceptionGroup[Fault]) -> Fault:
    found = group.exceptions[0]
    return found if isinstance(found, Fault) else _first(found)
