"""The sessions of one process, and everything they share: one registry per event loop.

A socket comes in through `join`, a command of a REST request through `command`; where the session is
does not matter to either.
"""

import asyncio
import contextlib
import json
import logging
import math
import os
import secrets
import socket as network
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.db import Error
from redis.exceptions import RedisError

from project import context
from project.errors import Conflict, Gone, ParleyError
from project.metrics import instruments
from rtc.clock import Pump
from sessions import ice, services
from sessions.models import SessionStatus
from sessions.pipeline import language
from sessions.runtime import commands, lease, metrics, opening
from sessions.runtime.broker import Broker
from sessions.runtime.commands import HostUnreachable
from sessions.runtime.database import AWAY, in_database
from sessions.runtime.events import Event, continued
from sessions.runtime.host import LiveSession, Near, Office
from sessions.runtime.idle import IdleLoops
from sessions.runtime.lease import Held
from sessions.runtime.links import Link, Socket
from sessions.runtime.memory import Trimmer
from sessions.runtime.relay import Door, Message, NotHosted, Relay, decode
from sessions.runtime.scribe import Scribe
from sessions.runtime.watch import StorageWatch
from workers.live.client import RenderClient

_log = logging.getLogger(__name__)

MIRROR_SECONDS = 1.0
JOIN_AGAIN_SECONDS = 0.3
ENDING_SECONDS = 5.0
FAULTS = {
    "broker_unavailable": "The parts of the service cannot reach each other; the talk goes on when they can.",
    "storage_unavailable": "The storage of the service is away.",
    "database_unavailable": "The database of the service is away.",
}


def process_id() -> str:
    """A name for this process that no other has, nor it after a restart."""
    return f"{network.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(6)}"


class Registry(Office):
    """Hosts sessions. All of it runs on one event loop."""

    def __init__(self) -> None:
        self.process_id = process_id()
        self.loop = asyncio.get_running_loop()
        self.sessions: dict[str, LiveSession] = {}
        self.pump = Pump()
        self.idle = IdleLoops()
        self.broker = Broker(self.process_id, receive=self._receive, changed=self._broker_changed)
        self.relay = Relay(self.process_id, self.broker)
        self.scribe = Scribe(self._database_changed)
        self.client = RenderClient(self.process_id)
        self.storage = StorageWatch(
            wanted=lambda: bool(self.sessions),
            changed=lambda available: self._fault("storage_unavailable", on=not available),
        )
        self.faults: set[str] = set()
        self.stopping = False
        self._ended = 0
        self._opening: dict[str, asyncio.Task[LiveSession | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._doors: dict[str, tuple[LiveSession, Door]] = {}
        self._told: dict[str, int] = {}
        self._started = False
        self._starting = asyncio.Lock()

    # --- Life ------------------------------------------------------------------------------

    async def start(self) -> None:
        async with self._starting:
            if self._started:
                return
            await language.prepared()
            self._started = True
            # What serves every session is not about the one that came first.
            await asyncio.create_task(self._begin(), context=context.blank())

    async def _begin(self) -> None:
        self.broker.start()
        self.scribe.start()
        await self.client.start()
        commands.serve(self)
        self._spawn(self._tick(), "live clock")
        self._spawn(self._keep_leases(), "live leases")
        self._spawn(self.storage.run(), "live storage")
        self._spawn(Trimmer(lambda: self._ended).run(), "live memory")
        metrics.GAUGES.append(self.gauges)

    async def stop(self) -> None:
        """Give every session up so that another process can take it at once."""
        if self.stopping or not self._started:
            return
        self.stopping = True
        commands.unserve(self)
        metrics.GAUGES.remove(self.gauges)
        endings = {one.ending for one in self.sessions.values() if one.ending is not None}
        for task in [*(self._tasks - endings), *self._opening.values()]:
            task.cancel()
        if endings:
            await asyncio.wait(endings, timeout=ENDING_SECONDS)
        hosted = [one for one in self.sessions.values() if one.ending is None]
        await asyncio.gather(*(self._give_up(session) for session in hosted), return_exceptions=True)
        await self.scribe.settled(2.0)
        await self.scribe.close()
        await self.client.close()
        await self.broker.close()
        self.pump.close()
        _registries.pop(self.loop, None)

    async def _give_up(self, session: LiveSession) -> None:
        session.send_away()
        await session.stop()
        await self.scribe.settled(2.0)  # the next host reads what was said
        self.sessions.pop(session.id, None)
        seqs = {session.id: session.parts.log.seq}
        fence = session.facts.fence
        with contextlib.suppress(Error):
            await in_database(lambda: lease.write_seqs(seqs))
            await in_database(lambda: services.host_release(session.id, self.process_id, fence))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str, **about: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name, context=context.of(**about))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)

    # --- Sockets ---------------------------------------------------------------------------

    async def join(self, session_id: str, socket: Socket, since: int | None) -> Link:
        """Connect a socket to its session, hosting that if nobody does.

        Raises Gone (`session_ended`), HostUnreachable, or Unavailable.
        """
        await self.start()
        deadline = self.loop.time() + settings.LIVE_LEASE_SECONDS + 3
        while self.loop.time() < deadline and not self.stopping:
            session = await self._hosted(session_id)
            if session is not None:
                session.attach(socket, since)
                return Near(session, socket)
            link = await self._relayed(session_id, socket, since)
            if link is not None:
                instruments.live_relayed.inc()
                return link
            await asyncio.sleep(JOIN_AGAIN_SECONDS)
        raise HostUnreachable("The process that holds the session does not answer.")

    async def _hosted(self, session_id: str) -> LiveSession | None:
        """Return the session if it is ours, or can be; None when another process hosts it."""
        session = self.sessions.get(session_id)
        if session is not None and session.ending is not None:
            await asyncio.wait({session.ending})
            session = self.sessions.get(session_id)
        if session is not None and not session.closed:
            return session
        if session_id not in self._opening:
            opened = asyncio.create_task(
                self._open(session_id), name=f"open {session_id}", context=context.of(session=session_id)
            )
            self._opening[session_id] = opened
            opened.add_done_callback(partial(self._opened, session_id))
        # Whoever leaves while it is opened takes it from nobody else, and leaves no half of it behind.
        return await asyncio.shield(self._opening[session_id])

    def _opened(self, session_id: str, opened: "asyncio.Task[LiveSession | None]") -> None:
        self._opening.pop(session_id, None)
        if not opened.cancelled():
            opened.exception()  # whoever still waits is told

    async def _open(self, session_id: str) -> LiveSession | None:
        claimed = await in_database(lambda: opening.claim(session_id, self.process_id))
        if claimed is None:
            return None
        fence = claimed.fence
        try:
            session = await self._build(claimed)
            # Last, so that what cannot be hosted takes no place from others.
            standing = await in_database(lambda: services.session_activate(session_id, fence))
        except BaseException:
            self.client.forget(session_id)
            await in_database(lambda: services.host_release(session_id, self.process_id, fence))
            raise
        opening.place(session, standing)
        self.sessions[session_id] = session
        self._told[session_id] = claimed.row.last_seq
        session.faults = tuple(sorted(self.faults))
        instruments.live_hosted.inc()
        instruments.live_taken_over.inc(fence > 1)
        _log.info("Hosting %s (claim %d)", session_id, fence)
        return session

    async def _build(self, claimed: opening.Claimed) -> LiveSession:
        idle = await self.idle.get(claimed.row.idle_key)
        kept = await self._mirrored(claimed.row.pk)
        seq = continued(kept, claimed.row.last_seq)
        tools = opening.Equipment(
            self, self.pump, self.client, self.scribe, ice.config(), self.broker.mirror, self.idle
        )
        return opening.build(claimed, idle, seq, kept, tools)

    async def _mirrored(self, session_id: str) -> list[Event]:
        """What the last host told, if the broker can say."""
        try:
            async with asyncio.timeout(MIRROR_SECONDS):
                return [json.loads(event) for event in await self.broker.mirrored(session_id)]
        except (RedisError, OSError, TimeoutError):
            return []

    async def _relayed(self, session_id: str, socket: Socket, since: int | None) -> Link | None:
        standing, host = await in_database(
            lambda: (services.standing(session_id), services.host_of(session_id))
        )
        if standing is None or standing.status == SessionStatus.ENDED:
            raise Gone("This session has ended.", code="session_ended")
        if host is None or host == self.process_id:
            return None
        try:
            return await self.relay.attach(host, session_id, socket, since)
        except NotHosted:
            return None

    # --- Messages of other processes -------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        message, body = decode(data)
        if not self.relay.is_new(message):
            return
        if self.relay.take(message):
            return
        op = message["op"]
        if op == "attach":
            self._attach(message)
        elif op == "command":
            self._spawn(self._command(message), "live command", session=message["session"])
        elif (found := self._doors.get(message["socket"])) is not None:
            self._from_door(op, *found, message, body)

    def _attach(self, message: Message) -> None:
        session = self.sessions.get(message["session"])
        answer = {"op": "attached", "socket": message["socket"]}
        if session is None or session.closed or self.stopping:
            self.relay.post(message["from"], answer | {"op": "refused"})
            return
        self.relay.post(message["from"], answer)
        door = Door(self.relay, message["from"], message["socket"])
        for socket_id in [one for one, (of, _) in self._doors.items() if of is session]:
            del self._doors[socket_id]
        self._doors[message["socket"]] = (session, door)
        session.attach(door, message["since"])

    def _from_door(self, op: str, session: LiveSession, door: Door, message: Message, body: bytes) -> None:
        link = Near(session, door)
        if op == "message":
            link.message(message["type"], message["payload"])
        elif op == "audio":
            link.audio(body)
        elif op == "refuse":
            link.refuse(message["code"], message["detail"])
        elif op == "detach":
            self._doors.pop(message["socket"], None)
            link.detach()

    async def _command(self, message: Message) -> None:
        answer: Message | ParleyError
        if message["type"] != "end" and time.time() > message["payload"].get("deadline", math.inf):
            return  # whoever asked was told that it failed
        try:
            answer = await self.command(message["session"], message["type"], message["payload"])
        except ParleyError as error:
            answer = error
        self.broker.reply(message["request"], json.dumps(commands.wrap(answer)).encode())

    async def command(self, session_id: str, kind: str, payload: Message) -> Message:
        """Follow a command of a REST request; raises ParleyError."""
        session = self.sessions.get(session_id)
        if session is not None and kind == "end":
            # Once begun it is finished, also when nobody waits for it any longer.
            await asyncio.shield(self._ending(session, payload.get("reason", "api_ended")))
            return {}
        if session is None or session.closed:
            raise Conflict("The session is not hosted here any more.", code="session_not_active")
        return await session.command(kind, payload)

    # --- What sessions want written down ---------------------------------------------------

    def end(self, session: LiveSession, reason: str) -> None:
        self._ending(session, reason)

    def _ending(self, session: LiveSession, reason: str) -> asyncio.Task[None]:
        if session.ending is None:
            session.ending = self._spawn(self._end(session, reason), f"end {session.id}", session=session.id)
        return session.ending

    async def _end(self, session: LiveSession, reason: str) -> None:
        told = reason
        try:
            await session.stop()
            # What was said comes first: the end of a session is when others read it.
            await self.scribe.settled(1.0)
            told = await self._write_end(session, reason)
        finally:
            self._over(session, told)

    async def _write_end(self, session: LiveSession, reason: str) -> str:
        """Return why it ended; nothing where it has not, because another process has it."""
        session_id, fence = session.id, session.facts.fence

        def write() -> bool:
            return services.session_end(session_id, reason, fence=fence)

        try:
            if await in_database(write):
                return reason
            standing = await in_database(lambda: services.standing(session_id))
        except AWAY as error:
            self.scribe.said(available=False, error=error)
            self.scribe.write((session_id, "end", 0), write)
            return reason
        return "erased" if standing is None else standing.end_reason

    def _over(self, session: LiveSession, reason: str) -> None:
        """Let go of a session that ended; without a reason it goes on in another process."""
        if reason:
            self._ended += 1
            instruments.live_ended.inc()
            session.say_ended(reason)
            self.broker.forget(session.id)
        else:
            session.send_away()
        self._let_go(session)

    def _let_go(self, session: LiveSession) -> None:
        if self.sessions.get(session.id) is session:
            del self.sessions[session.id]
            self._told.pop(session.id, None)
            self.client.forget(session.id)
        for socket_id in [one for one, (of, _) in self._doors.items() if of is session]:
            del self._doors[socket_id]

    def first_peer(self, session: LiveSession, origin: float) -> None:
        at, fence = datetime.fromtimestamp(origin, UTC), session.facts.fence
        self.scribe.write(
            (session.id, "origin", 0), lambda: services.session_media_started(session.id, fence, at)
        )

    def phase(self, session: LiveSession, phase: str) -> None:
        fence = session.facts.fence
        self.scribe.write((session.id, "phase", 0), lambda: services.session_phase(session.id, fence, phase))

    def note(self, session: LiveSession) -> None:
        fence, metrics, warnings = session.facts.fence, dict(session.metrics), list(session.warnings)
        self.scribe.write(
            (session.id, "notes", 0),
            lambda: services.session_note(session.id, fence, metrics=metrics, warnings=warnings),
        )

    # --- The clock and the leases ----------------------------------------------------------

    async def _tick(self) -> None:
        """One task looks at the clock for every session."""
        while True:
            await asyncio.sleep(1.0)
            for session in list(self.sessions.values()):
                try:
                    session.look_at_clock()
                except Exception:  # noqa: BLE001 - a mistake in one session must not stop the clock of all
                    _log.exception("%s: its clock could not be looked at", session.id)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(settings.LIVE_LEASE_SECONDS / 3)
            try:
                await self._renew()
                await self._look_after_relayed()
            except AWAY as error:
                self.scribe.said(available=False, error=error)
            except Exception:  # noqa: BLE001 - whatever it was, leases have to be renewed again
                _log.exception("Leases could not be renewed")

    async def _renew(self) -> None:
        held = {
            one.id: Held(one.facts.fence, one.parts.log.seq, one.parts.log.seq != self._told.get(one.id))
            for one in self.sessions.values()
            if not one.closed
        }
        if not held:
            return
        renewal = await in_database(lambda: lease.renew(self.process_id, held))
        self.scribe.said(available=True)
        for session_id, standing in renewal.kept.items():
            self._told[session_id] = held[session_id].seq
            if (session := self._same(session_id, held)) is not None:
                if session.timers.active_at is None:
                    session.timers.active_at = opening.since(standing.started_at, self.loop.time())
                session.stands(standing)
        for session_id, lost in renewal.lost.items():
            if (session := self._same(session_id, held)) is not None and not session.closed:
                reason = lost.end_reason if lost is not None else "erased"
                self._spawn(self._lost(session, reason), f"let go of {session_id}", session=session_id)

    def _same(self, session_id: str, held: dict[str, Held]) -> LiveSession | None:
        session = self.sessions.get(session_id)
        return session if session is not None and session.facts.fence == held[session_id].fence else None

    async def _lost(self, session: LiveSession, end_reason: str) -> None:
        """Another process has the session now, or somebody ended it in the database."""
        _log.warning("%s is not ours any more: %s", session.id, end_reason or "another process has it")
        try:
            await session.stop()
        finally:
            self._over(session, end_reason)

    async def _look_after_relayed(self) -> None:
        """Sockets whose host is gone are closed; their clients come back and we take the session on."""
        relayed = self.relay.sessions()
        if not relayed:
            return
        living = await in_database(lambda: lease.hosts(list(relayed)))
        for session_id, host in relayed.items():
            if living.get(session_id) != host:
                self.relay.drop(session_id, host)

    # --- Parts that go away ----------------------------------------------------------------

    def _broker_changed(self, available: bool) -> None:
        self._fault("broker_unavailable", on=not available)

    def _database_changed(self, available: bool) -> None:
        self._fault("database_unavailable", on=not available)

    def _fault(self, code: str, *, on: bool) -> None:
        (self.faults.add if on else self.faults.discard)(code)
        for session in self.sessions.values():
            session.fault(code, on=on, detail=FAULTS[code])

    def gauges(self) -> dict[str, float]:
        hosted = list(self.sessions.values())
        return {
            "sessions": len(hosted),
            "peers": sum(one.parts.media.connected for one in hosted),
            "speaking": sum(one.phase == "speaking" for one in hosted),
            "tasks": len(asyncio.all_tasks(self.loop)),
            "stalls": self.pump.stalls,
        }


_registries: dict[asyncio.AbstractEventLoop, Registry] = {}


def registry() -> Registry:
    """Return the registry of the running loop."""
    loop = asyncio.get_running_loop()
    if loop not in _registries:
        _registries[loop] = Registry()
    return _registries[loop]


async def stop_registry() -> None:
    """Give up what this loop hosts; its sessions go on elsewhere."""
    found = _registries.get(asyncio.get_running_loop())
    if found is not None:
        await found.stop()
