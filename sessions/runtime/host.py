"""One session, in the process that hosts it: its socket, its peer, its conversation, its end.

Outlives any one socket and any one peer. Everything runs on the event loop; what takes long is a
task of the session, which ends with it.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from project import context
from project.errors import Conflict, LimitReached, NotAllowed, ParleyError
from project.metrics import instruments
from rtc.errors import PeerError
from rtc.frames import IdleLoop
from sessions import figures
from sessions.hosting import Standing
from sessions.models import SessionStatus
from sessions.pipeline.conversation import Conversation
from sessions.pipeline.ports import Phase
from sessions.runtime.events import Event, EventLog
from sessions.runtime.links import GOING_AWAY, NORMAL, REPLACED, Link, Socket
from sessions.runtime.media import Media, MediaListener
from sessions.runtime.messages import Allowance
from sessions.runtime.stage import LiveStage, Recorder
from sessions.runtime.timers import Timers

_log = logging.getLogger(__name__)

Payload = dict[str, Any]
INBOX = 64
OFFERS_A_SECOND, OFFERS_AT_ONCE = 0.5, 10
STOP_SECONDS = 5.0
RECORDER_SECONDS = 1.5
GOODBYE_SECONDS = 0.8  # what was played is on its way to the customer for so long
_OF_ONE_TURN = frozenset({"type", "turn", "tools", "topic", "stages"})
_COUNTED = frozenset({"metrics", "speech.ended"})
# What shows that somebody is there, or is being spoken to.
_ACTIVITY = frozenset({"transcript.partial", "transcript.final", "speech.started", "speech.ended"})


class Office(Protocol):
    """What a session needs of the process it lives in. No call waits."""

    def end(self, session: "LiveSession", reason: str) -> None:
        """Have the session written down as ended, and closed."""

    def first_peer(self, session: "LiveSession", origin: float) -> None:
        """Have the beginning of the timeline written down (Unix seconds)."""

    def phase(self, session: "LiveSession", phase: str) -> None: ...

    def note(self, session: "LiveSession") -> None:
        """Have `metrics` and `warnings` of the session written down."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change while a session is hosted. `public` goes to each client that joins."""

    session_id: str
    fence: int
    may_say: bool
    public: Payload


@dataclass(slots=True)
class Parts:
    """What a session is made of."""

    log: EventLog
    media: Media
    stage: LiveStage
    conversation: Conversation
    recorder: Recorder | None
    sound_of: Callable[[str], Awaitable[bytes]]  # 48 kHz mono s16le of an upload
    idle_loop: Callable[[bool], Awaitable[IdleLoop]]  # the full or the lower rendition
    now: Callable[[], float] = time.monotonic


class LiveSession(MediaListener):
    """A hosted session. `standing` is as the database had it last."""

    def __init__(self, facts: Facts, office: Office, timers: Timers, standing: Standing) -> None:
        self.facts, self.office, self.timers = facts, office, timers
        self.standing = standing
        self.id = facts.session_id
        self.phase: Phase = "idle"
        self.metrics: Payload = {}
        self.warnings: list[str] = []
        self.faults: tuple[str, ...] = ()
        self.closed = False
        self.parts: Parts
        self._socket: Socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._inbox: asyncio.Queue[tuple[str, Payload]] = asyncio.Queue(INBOX)
        self._begun = self._pressed = False
        self.ending: asyncio.Task[None] | None = None
        # Each offer opens sockets and a handshake, far more than any other message.
        self._offers = Allowance(OFFERS_A_SECOND, OFFERS_AT_ONCE, time.monotonic())
        self._binary_audio = False
        self._handlers: dict[str, Callable[[Payload], Awaitable[Any]]] = {
            "rtc.candidate": self._candidate,
            "user.text": self._ask,
            "avatar.say": self._client_says,
            "session.end": self._client_ends,
            "ask": self._ask,
            "say": self._say,
            "interrupt": self._interrupt,
        }
        self._at_once: dict[str, Callable[[Payload], None]] = {
            "ping": lambda _: self.emit({"type": "pong"}),
            "rtc.offer": lambda payload: self._spawn(self._offer(payload), "answer"),
            "rtc.restart": lambda _: self.parts.media.restart(),
            "avatar.interrupt": lambda _: self._spawn(self._heard(self._interrupt, {}), "interrupt"),
            "mic.start": lambda _: self._press(),
            "mic.stop": lambda _: self._release(),
        }

    def begin(self, parts: Parts) -> None:
        self.parts = parts
        self._spawn(self._serve(), "serve")

    @property
    def active(self) -> bool:
        return self.standing.status == SessionStatus.ACTIVE and not self.closed

    # --- Telling ---------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        """Number an event, keep it, and send it if somebody is there."""
        if event["type"] in _COUNTED:
            figures.count(event)
        if event["type"] in _ACTIVITY:
            self.timers.last_activity_at = self.parts.now()
        elif event["type"] == "metrics":
            self.metrics |= {name: value for name, value in event.items() if name not in _OF_ONE_TURN}
            self.office.note(self)
        told = self.parts.log.add(event)
        if self._socket is not None:
            self._socket.send_event(told)

    def error(self, code: str, detail: str) -> None:
        self.emit({"type": "error", "code": code, "detail": detail})

    def tell_state(self, **more: Any) -> None:
        standing = self.standing
        state: Event = {
            "type": "session.state",
            "status": standing.status,
            "phase": self.phase,
            "position": standing.position,
            "connected": self.parts.media.connected,
            "faults": list(self.faults),
        }
        ends_in = self.timers.ends_in(self.parts.now())
        if ends_in is not None:
            state["ends_in_seconds"] = ends_in
        self.emit(state | more)

    def phase_changed(self, phase: Phase) -> None:
        self.phase = phase
        self.office.phase(self, phase)
        self.tell_state()

    def stands(self, standing: Standing) -> None:
        """The database was asked: tell the client what is new, such as its place in the queue."""
        before, self.standing = self.standing, standing
        self.make_ready()
        if before.status != standing.status or before.position != standing.position:
            self.tell_state()

    def fault(self, code: str, *, on: bool, detail: str) -> None:
        """A part of the service went away, or came back: said once each."""
        if on == (code in self.faults):
            return
        self.faults = (*self.faults, code) if on else tuple(one for one in self.faults if one != code)
        if on:
            self.error(code, detail)
        self.tell_state()

    # --- Sockets ---------------------------------------------------------------------------

    def attach(self, socket: Socket, since: int | None) -> None:
        """A client joins, or comes back; an older socket of the session is sent away."""
        self._release()
        before, self._socket = self._socket, None
        if before is not None:
            detail = "Another connection took this session over."
            seq = self.parts.log.seq + 1
            before.send_event(
                {
                    "type": "error",
                    "seq": seq,
                    "at_ms": self.parts.media.at_ms(),
                    "code": "replaced",
                    "detail": detail,
                }
            )
            before.close_soon(REPLACED)
        instruments.live_joined.inc()
        self.timers.socket_lost_at = None
        self._socket = socket
        if since is not None:
            self.parts.log.reach(since)
            for event in self.parts.log.since(since):
                socket.send_event(event)
        self.tell_state(**self.facts.public)

    def listens_to(self, socket: Socket) -> bool:
        return self._socket is socket and not self.closed

    def left(self, socket: Socket) -> None:
        if self._socket is socket:
            self._release()
            self._socket = None
            self.timers.socket_lost_at = self.parts.now()

    def message(self, kind: str, payload: Payload) -> None:
        """Take a message of the client; what is wrong with it comes back as an event."""
        if self.closed:
            return
        at_once = self._at_once.get(kind)
        if at_once is not None:
            at_once(payload)
            return
        try:
            self._inbox.put_nowait((kind, payload))
        except asyncio.QueueFull:
            self.error("too_many_messages", "Messages come faster than they can be followed.")

    def refuse(self, code: str, detail: str) -> None:
        instruments.live_refused.inc()
        self.error(code, detail)

    def audio(self, pcm16k: bytes) -> None:
        """Sound over the WebSocket; the WebRTC microphone is ignored from now on."""
        self._binary_audio = True
        self._hear(pcm16k)

    def _press(self) -> None:
        self._pressed = True
        self.parts.conversation.mic_start()

    def _release(self) -> None:
        """The button is up, or whoever held it is gone."""
        if self._pressed:
            self._pressed = False
            self.parts.conversation.mic_stop()

    def _hear(self, pcm16k: bytes) -> None:
        if not self.active:
            return
        at_ms = self.parts.media.at_ms()
        self.parts.conversation.hear(pcm16k, at_ms)
        if self.parts.recorder is not None:
            self.parts.recorder.microphone(pcm16k, at_ms)

    # --- Commands --------------------------------------------------------------------------

    async def command(self, kind: str, payload: Payload) -> Payload:
        """Follow a command of a REST request; raises ParleyError."""
        self._must_be_active()
        return dict(await self._handlers[kind](payload) or {})

    def _must_be_active(self) -> None:
        if not self.active:
            raise Conflict(f"The session is {self.standing.status}.", code="session_not_active")

    async def _serve(self) -> None:
        while True:
            kind, payload = await self._inbox.get()
            await self._heard(self._handlers[kind], payload)

    async def _heard(self, handler: Callable[[Payload], Awaitable[Any]], payload: Payload) -> None:
        """Follow a message of the client and tell it what went wrong."""
        try:
            if handler != self._client_ends:
                self._must_be_active()
            await handler(payload)
        except ParleyError as error:
            self.error(error.code, str(error))
        except PeerError as error:
            self.error(error.code, str(error))
        except Exception:  # noqa: BLE001 - a bug in following one message must not end the session
            _log.exception("%s: a message could not be followed", self.id)
            self.error("internal_error", "The message could not be followed.")

    async def _offer(self, payload: Payload) -> None:
        await self._heard(self._answer, payload)

    async def _answer(self, payload: Payload) -> None:
        if not self._offers.take(1, self.parts.now()):
            raise LimitReached("Offers come too fast.", code="too_many_offers")
        began = time.perf_counter()
        sdp = await self.parts.media.answer(payload["sdp"], payload.get("id"))
        if sdp is not None:
            instruments.webrtc_answer.observe(time.perf_counter() - began)
            name = {} if payload.get("id") is None else {"id": payload["id"]}
            self.emit({"type": "rtc.answer", "sdp": sdp, **name})

    async def _candidate(self, payload: Payload) -> None:
        await self.parts.media.candidate(payload["candidate"], payload.get("id"))

    async def _ask(self, payload: Payload) -> Payload:
        return {"turn": await self.parts.conversation.ask(**await self._said(payload))}

    async def _say(self, payload: Payload) -> Payload:
        return {"turn": await self.parts.conversation.say(**await self._said(payload))}

    async def _client_says(self, payload: Payload) -> Payload:
        if not self.facts.may_say:
            raise NotAllowed("This client may not put words into the avatar's mouth.", code="say_not_allowed")
        return await self._say(payload)

    async def _said(self, payload: Payload) -> Payload:
        """Return what is said as the conversation takes it: text, or the sound of an upload."""
        self.timers.last_activity_at = self.parts.now()
        if "upload" in payload:
            sound = await self.parts.sound_of(payload["upload"]["key"])
            if time.time() > payload.get("deadline", math.inf):
                raise Conflict("It came too late.", code="too_late")  # whoever asked was told that it failed
            return {"pcm48k": sound}
        return {"text": payload["text"]}

    async def _interrupt(self, _: Payload) -> Payload:
        done = await self.parts.conversation.interrupt()
        return {"turn": done.turn, "heard_text": done.heard_text}

    async def _client_ends(self, _: Payload) -> None:
        self.office.end(self, "client_ended")

    def said_goodbye(self) -> None:
        """The avatar ends the session, once its last words have reached the customer."""
        self._spawn(self._hang_up(), "goodbye")

    async def _hang_up(self) -> None:
        await asyncio.sleep(GOODBYE_SECONDS)
        self.office.end(self, "avatar_ended")

    # --- Media -----------------------------------------------------------------------------

    def peer_connected(self, first_frame_ms: int | None) -> None:
        now = self.parts.now()
        first = not self.timers.had_peer
        self.timers.had_peer, self.timers.peer_lost_at = True, None
        self.timers.last_activity_at = now
        media = self.parts.media
        if first and media.origin is not None:
            self.office.first_peer(self, media.origin)
        if first_frame_ms is not None:
            self.emit({"type": "metrics", "webrtc_first_frame_ms": first_frame_ms})
        self.tell_state()
        self._note_codec()
        if not self._begun:
            self._begun = True
            self._spawn(self._start(), "start")

    async def _start(self) -> None:
        await self._heard(lambda _: self.parts.conversation.start(), {})

    def _note_codec(self) -> None:
        stats = self.parts.media.stats()
        if stats is not None and stats.transcoding and "vp8_transcoded" not in self.warnings:
            instruments.live_vp8.inc()
            self.warnings.append("vp8_transcoded")
            self.office.note(self)

    def peer_lost(self, reason: str) -> None:
        _log.info("%s lost its peer: %s", self.id, reason)
        self.timers.peer_lost_at = self.parts.now()
        if not self.closed:
            self.tell_state()

    def quality(self, level: str) -> None:
        """The client's line became narrow, or wide again: new fragments and the idle loop follow."""
        low = level == "low"
        self.parts.stage.low = low
        if low and "narrow_line" not in self.warnings:
            self.warnings.append("narrow_line")
            self.office.note(self)
        self._spawn(self._change_idle(low=low), "idle loop")

    async def _change_idle(self, *, low: bool) -> None:
        loop = await self.parts.idle_loop(low)
        if self.parts.stage.low == low:
            self.parts.media.playout.replace_idle(loop)

    def make_ready(self) -> None:
        """Have ready what a stateful model needs, once the session has a place."""
        if self.active:
            self.parts.stage.prepare()

    def render_moved(self) -> None:
        """The stream that drew the avatar was lost, and went on elsewhere or anew: there is a seam."""
        instruments.live_render_moves.inc()
        if "render_moved" not in self.warnings:
            self.warnings.append("render_moved")
            self.office.note(self)

    def microphone(self, pcm16k: bytes) -> None:
        if not self._binary_audio:
            self._hear(pcm16k)

    # --- Life ------------------------------------------------------------------------------

    def look_at_clock(self) -> None:
        """Called every second: warn, or end."""
        if self.closed:
            return
        now = self.parts.now()
        if self.phase in ("speaking", "thinking"):
            self.timers.last_activity_at = now
        reason = self.timers.due(now)
        if reason is not None:
            self.office.end(self, reason)
        elif self.timers.warn(now):
            self.tell_state(warning="max_duration")

    async def stop(self) -> None:
        """Stop playing, listening and talking. The socket stays, to be told why."""
        if self.closed:
            return
        self.closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
        await self._step("conversation", STOP_SECONDS, self.parts.conversation.close())
        await self._step("media", STOP_SECONDS, self.parts.media.close())
        if self.parts.recorder is not None:
            await self._step("recorder", RECORDER_SECONDS, self.parts.recorder.close())

    async def _step(self, what: str, seconds: float, work: Coroutine[Any, Any, None]) -> None:
        """Wait for one part to end, for a while. One that fails or hangs keeps no other."""
        about = context.of(session=self.id)
        task = asyncio.create_task(work, name=f"{self.id} closes its {what}", context=about)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        for one in done:
            if not one.cancelled() and (error := one.exception()) is not None:
                _log.error("%s: the %s did not close", self.id, what, exc_info=error)

    def say_ended(self, reason: str) -> None:
        """The session is over: tell whoever is there, and let go of them."""
        self.emit({"type": "session.ended", "reason": reason})
        self._drop(NORMAL)

    def send_away(self) -> None:
        """The session goes on elsewhere: its client comes back and finds it."""
        self._drop(GOING_AWAY)

    def _drop(self, code: int) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close_soon(code)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        about = context.of(session=self.id)
        task = asyncio.create_task(work, name=f"{self.id} {name}", context=about)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s: a task failed", self.id, exc_info=error)


@dataclass(frozen=True, slots=True)
class Near(Link):
    """A session of this process, as one socket sees it. A socket that was replaced is not heard."""

    session: LiveSession
    socket: Socket

    def message(self, kind: str, payload: Payload) -> None:
        if self.session.listens_to(self.socket):
            self.session.message(kind, payload)

    def audio(self, pcm16k: bytes) -> None:
        if self.session.listens_to(self.socket):
            self.session.audio(pcm16k)

    def refuse(self, code: str, detail: str) -> None:
        if self.session.listens_to(self.socket):
            self.session.refuse(code, detail)

    def detach(self) -> None:
        self.session.left(self.socket)
