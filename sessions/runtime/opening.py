"""Makes a hosted session of a row: everything that is read or built before it can play."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, cast

from django.conf import settings
from django.utils import timezone

from generation import providers, voices
from generation.providers import language_model
from project.accounts import allowances
from project.errors import Unavailable
from rtc.clock import Pump
from rtc.frames import IdleLoop
from rtc.ice import IceConfig
from sessions import ice, presenter, services
from sessions.hosting import Standing, standing_of
from sessions.knowledge import embeddings
from sessions.knowledge.retrieval import Retriever
from sessions.models import Session, SessionStatus, Turn
from sessions.pipeline.conversation import Conversation
from sessions.pipeline.ports import AvatarSetup, FailureMode, PastTurn, PersonaSetup, Setup, Who
from sessions.pipeline.ports import Limits as TalkLimits
from sessions.recording.recorder import Recorder
from sessions.runtime.desk import LiveDesk
from sessions.runtime.events import Event, EventLog
from sessions.runtime.host import Facts, LiveSession, Office, Parts
from sessions.runtime.idle import IdleLoops
from sessions.runtime.media import Media
from sessions.runtime.scribe import Scribe
from sessions.runtime.stage import LiveStage, Played, RowJournal
from sessions.runtime.timers import Limits, Timers
from storage.s3 import store
from workers.adapters.stt.base import Recognizer
from workers.adapters.tts.base import Synthesizer
from workers.live.client import RenderClient


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that this process hosts now, and what was said in it before."""

    row: Session
    fence: int
    standing: Standing
    public: dict[str, Any]
    speech: "Speech"
    past: tuple[PastTurn, ...]
    next_turn: int
    live_slots: int = 0  # that its owner may hold


def claim(session_id: str, host: str) -> Claimed | None:
    """Become the host of a session, and read what is needed; None when another process hosts it.

    Raises `Unavailable` where nobody can speak or listen in it.
    """
    fence = services.host_claim(session_id, host)
    if fence is None:
        return None
    try:
        return _claimed(session_id, fence)
    except BaseException:
        services.host_release(session_id, host, fence)
        raise


def _claimed(session_id: str, fence: int) -> Claimed:
    row = Session.objects.select_related("avatar", "owner").get(pk=session_id)
    turns = list(Turn.objects.filter(session=row).order_by("number"))
    kept = row.persona_snapshot.get("max_history_turns") or PersonaSetup().max_history_turns
    said = [PastTurn(cast("Who", turn.who), text) for turn in turns if (text := _heard(turn))]
    number = turns[-1].number + 1 if turns else 1
    return Claimed(
        row,
        fence,
        standing_of(row),
        _public(row),
        _speech(row),
        tuple(said[-kept:]),
        number,
        allowances.allowance_of(row.owner).live_slots,
    )


def _heard(turn: Turn) -> str:
    """What was really said: of an avatar's turn only what was played."""
    return turn.heard_text if turn.who == "avatar" else turn.text


def _public(row: Session) -> dict[str, Any]:
    return {
        "avatar": {
            "name": row.avatar.name,
            "preview_url": presenter.preview_url(row),
            "width": row.width,
            "height": row.height,
        },
        "record": row.record,
        "consent": row.consent,
        "limits": presenter.limits(row.max_duration_seconds),
        "ice_servers": ice.servers(row.pk),
        "may_say": row.may_say,
        "language": row.language,
    }


@dataclass(frozen=True, slots=True)
class Speech:
    """Who speaks and who listens."""

    voice: voices.Voice
    synthesizer: Synthesizer
    recognizer: Recognizer


def _speech(row: Session) -> Speech:
    voice = voices.kept(row.voice)
    if voice is None:
        raise Unavailable(f"The voice {row.voice} is no longer there.", code="voice_not_found")
    return Speech(
        voice, voices.synthesizer(voice, _wanted(row, "tts")), voices.recognizer(_wanted(row, "stt"))
    )


def _wanted(row: Session, kind: providers.Kind) -> tuple[str, ...]:
    """The providers that the session names, else its persona."""
    return providers.asked(kind, row.providers, row.persona_snapshot.get("providers") or {})


@dataclass(frozen=True, slots=True)
class Equipment:
    """What all sessions of a process share."""

    office: Office
    pump: Pump
    client: RenderClient
    scribe: Scribe
    ice: IceConfig
    mirror: Callable[[str, int, bytes], None]
    loops: IdleLoops


def build(claimed: Claimed, idle: IdleLoop, seq: int, kept: list[Event], tools: Equipment) -> LiveSession:
    """Put a session together. Nothing here waits."""
    row, fence = claimed.row, claimed.fence
    facts = Facts(row.pk, fence, row.may_say, claimed.public)
    session = LiveSession(facts, tools.office, _timers(row, claimed.standing), claimed.standing)
    session.warnings, session.metrics = list(row.warnings), dict(row.metrics)
    played = Played()
    origin = row.media_origin_at.timestamp() if row.media_origin_at is not None else None
    media = Media(
        idle, listener=session, played=played, pump=tools.pump, ice=tools.ice, user=row.pk, origin=origin
    )
    session.timers.had_peer = origin is not None
    recorder = Recorder(row.pk, fence, flush=media.playout.flush) if row.record else None
    played.recorder = recorder
    avatar = AvatarSetup(row.model, row.bundle_key, row.bundle_sha256, row.width, row.height, len(idle))
    stage = LiveStage(
        row.pk,
        avatar,
        media=media,
        journal=RowJournal(row.pk, fence, tools.scribe),
        client=tools.client,
        recorder=recorder,
        emit=session.emit,
        phase_changed=session.phase_changed,
        render_moved=session.render_moved,
        account=row.owner_id,
    )
    tools.client.admit(row.pk, account=row.owner_id, allowed=claimed.live_slots)
    tools.client.warm(model=row.model, bundle_key=row.bundle_key, bundle_sha256=row.bundle_sha256)
    conversation = Conversation(_setup(claimed, avatar, session.said_goodbye), stage)
    played.talker = conversation
    log = EventLog(
        at_ms=media.at_ms,
        mirror=lambda number, event: tools.mirror(row.pk, number, event),
        seq=seq,
        kept=kept,
    )
    loops = partial(tools.loops.rendition, row.idle_key)
    session.begin(Parts(log, media, stage, conversation, recorder, sound_of, loops))
    return session


def place(session: LiveSession, standing: Standing) -> None:
    """The session asked for a place, and has one or waits."""
    now = session.timers.opened_at
    session.standing = standing
    session.make_ready()
    session.timers.active_at = since(standing.started_at, now)
    if session.timers.queued_at is None:
        session.timers.queued_at = now


async def sound_of(key: str) -> bytes:
    """Read the sound of an upload: 48 kHz mono s16le."""
    return await asyncio.to_thread(store().get_bytes, key)


def _setup(claimed: Claimed, avatar: AvatarSetup, over: Callable[[], None]) -> Setup:
    row, snapshot = claimed.row, claimed.row.persona_snapshot
    persona = PersonaSetup(
        language=row.language,
        system_prompt=snapshot.get("system_prompt") or "",
        greeting=snapshot.get("greeting") or "",
        knowledge=snapshot.get("knowledge") or "",
        apology=snapshot.get("apology") or "",
        max_tokens=snapshot.get("max_tokens") or settings.LLM_MAX_TOKENS,
        max_history_turns=snapshot.get("max_history_turns") or PersonaSetup().max_history_turns,
        max_answer_characters=_answer_characters(snapshot, claimed.speech.voice),
        tools=tuple(snapshot.get("tools") or ()),
        topics=tuple(snapshot.get("topics") or ()),
    )
    return Setup(
        session_id=row.pk,
        avatar=avatar,
        voice=claimed.speech.voice,
        persona=persona,
        language_model=language_model(_wanted(row, "llm")),
        synthesizer=claimed.speech.synthesizer,
        recognizer=claimed.speech.recognizer,
        failure=cast("FailureMode", settings.LIVE_FAILURE),
        limits=TalkLimits(
            first_token_seconds=settings.LLM_TIMEOUT_SECONDS, next_token_seconds=settings.LLM_TIMEOUT_SECONDS
        ),
        past=claimed.past,
        next_turn=claimed.next_turn,
        retriever=_retriever(row),
        desk=LiveDesk(row.pk, row.owner_id, over=over),
    )


def _retriever(row: Session) -> Retriever | None:
    """What looks things up in the documents of the session's persona, as they are then."""
    if row.persona_id is None:
        return None
    return Retriever(row.persona_id, row.owner_id, embedder=embeddings.embedder())


def _answer_characters(snapshot: dict[str, Any], voice: voices.Voice) -> int:
    """The longest answer in characters of this voice."""
    seconds = snapshot.get("max_answer_seconds") or settings.LIVE_MAX_ANSWER_SECONDS
    return round(seconds * voice.characters_per_second)


def _timers(row: Session, standing: Standing) -> Timers:
    now = time.monotonic()
    limits = Limits(
        connect=settings.LIVE_CONNECT_TIMEOUT_SECONDS,
        idle=settings.LIVE_IDLE_TIMEOUT_SECONDS,
        reconnect=settings.LIVE_RECONNECT_SECONDS,
        queue=settings.LIVE_QUEUE_TIMEOUT_SECONDS,
        warning=settings.LIVE_WARNING_SECONDS,
        maximum=row.max_duration_seconds,
    )
    return Timers(
        limits,
        opened_at=now,
        active_at=since(standing.started_at, now),
        queued_at=since(row.queued_at, now),
        peer_lost_at=now,
        last_activity_at=now,
    )


def since(moment: datetime | None, now: float) -> float | None:
    """Return a moment of the database on the monotonic clock that shows `now`."""
    return None if moment is None else now - (timezone.now() - moment).total_seconds()


__all__ = ["Claimed", "Equipment", "SessionStatus", "build", "claim", "since"]
