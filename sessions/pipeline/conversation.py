"""A session's conversation: who says what, and who is interrupted by whom.

Everything that is heard of the avatar is a `Reply`; there is at most one. Whatever begins a new turn
first takes the floor from it: the epoch grows before anything else happens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from project import context, tracing
from project.errors import Conflict, InvalidInput
from sessions.pipeline import apology, over
from sessions.pipeline.account import Account
from sessions.pipeline.faults import Fault
from sessions.pipeline.history import History
from sessions.pipeline.listen import Ears, Listener, UserTurn
from sessions.pipeline.monitor import Monitor
from sessions.pipeline.pace import Pace
from sessions.pipeline.phases import Phases
from sessions.pipeline.ports import Phase, Setup, Source, Stage, TurnRecord
from sessions.pipeline.reply import Reply, Scene
from sessions.pipeline.respond import answer
from sessions.pipeline.track import FRAME_MS
from sessions.pipeline.transcribe import recognised
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import Hypothesis
from workers.profiles import load_profile

_log = logging.getLogger(__name__)

APOLOGY_SECONDS = 0.5

Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Interrupted:
    """What an interruption met: the avatar's turn, None when it had none, and what was heard of it."""

    turn: int | None
    heard_text: str


class Conversation:
    """Implements `rtc.playout.PlayoutListener` for the speech of its session."""

    def __init__(self, setup: Setup, stage: Stage) -> None:
        self._setup, self._stage = setup, stage
        self._history = History(setup.persona, setup.past)
        phases = Phases(stage.phase_changed)
        self._scene = Scene(setup, stage, load_profile(setup.avatar.model), phases, Pace(), Monitor())
        self._turn = setup.next_turn
        self._epoch = -1  # of the newest reply
        self._reply: Reply | None = None
        self._listener: Listener | None = None
        self._overtaken: Reply | None = None  # cut by a voice that may turn out to be nothing
        self._tasks: set[asyncio.Task[None]] = set()
        self._question = ""  # what the customer said last
        self._started = self._closed = False

    @property
    def phase(self) -> Phase:
        return self._scene.phases.phase

    async def start(self) -> None:
        """Somebody is there: greet, once. Returns at once."""
        if self._started or self._closed:
            return
        self._started = True
        greeting = self._setup.persona.greeting.strip()
        if greeting and not self._setup.past and self._reply is None:
            self._speak_text(greeting, "say")
        if self._setup.failure == "spoken":
            self._spawn(self._prepare_apology())

    async def ask(self, *, text: str | None = None, pcm48k: bytes | None = None) -> int:
        """Take a turn of the user's, written or recorded (48 kHz mono s16le).

        Returns the number of the avatar's turn that answers it; the user's own is the one before.
        Raises `InvalidInput` and `Conflict`.
        """
        self._check(text, pcm48k)
        with self._scene.phases.together():
            self._cut()
            if text is not None:
                self._take_user_turn(text.strip(), "text")
                return self._respond("text").account.turn
            number = self._number()
            reply = self._begin("upload")
        self._perform(reply, partial(reply.tell, self._recorded(reply, number, pcm48k or b"")))
        return reply.account.turn

    async def say(self, *, text: str | None = None, pcm48k: bytes | None = None) -> int:
        """Have the avatar say a text word for word, or let given sound drive it; returns its turn.

        Raises `InvalidInput` and `Conflict`.
        """
        self._check(text, pcm48k)
        with self._scene.phases.together():
            self._cut()
            if text is not None:
                return self._speak_text(text.strip(), "say").account.turn
            reply = self._begin("upload")
        self._perform(reply, partial(reply.play, pcm48k or b""))
        return reply.account.turn

    def hear(self, pcm16k: bytes, at_ms: int) -> None:
        """Hear the customer: 16 kHz mono s16le that arrived at a moment of the session's timeline."""
        if not self._closed:
            self._ears().feed(pcm16k, at_ms)

    def mic_start(self) -> None:
        """Push-to-talk: what is heard from now on is one turn."""
        if not self._closed:
            self._ears().mic_start()

    def mic_stop(self) -> None:
        """The turn that `mic_start` began is over."""
        if self._listener is not None:
            self._listener.mic_stop()

    async def interrupt(self) -> Interrupted:
        """Silence the avatar. The next frame is of the idle loop; providers are closed behind it."""
        return self._cut()

    async def close(self) -> None:
        """End the conversation and wait for everything that it began."""
        self._closed = True
        if self._listener is not None:
            self._listener.close()
        if self._setup.retriever is not None:
            self._setup.retriever.close()
        self._cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- Listening -----------------------------------------------------------------------------

    def _ears(self) -> Listener:
        """Made when there is something to hear: who only types costs no voice detector."""
        if self._listener is None:
            ears = Ears(
                on_turn=self._heard_turn,
                on_barge_in=self._barged_in,
                on_speech_started=self._user_began,
                on_partial=self._heard_partial,
                on_dropped=self._user_said_nothing,
                on_fault=self._not_recognised,
                on_problem=self._unheard,
            )
            language = self._setup.persona.language
            self._listener = Listener(language=language, recognizer=self._setup.recognizer, ears=ears)
            self._scene.monitor.listens(self._listener)
        return self._listener

    def _barged_in(self, at_ms: int) -> None:
        reply = self._reply
        if reply is not None:
            reply.account.measures.interrupt_ms = max(0, self._stage.frame() * FRAME_MS - at_ms)
        with self._scene.phases.together():
            self._cut()
            self._scene.phases.user(speaks=True)
        self._overtaken = reply if reply is not None and not reply.again else None

    def _user_began(self, _at_ms: int) -> None:
        """Who goes on talking while the avatar thinks is not talked over: the answer waits."""
        self._scene.phases.user(speaks=True)
        if self._reply is not None:
            self._reply.hold(on=True)

    def _user_said_nothing(self) -> None:
        """A cough, a murmur: who was about to speak speaks, who was cut goes on, once."""
        with self._scene.phases.together():
            self._scene.phases.user(speaks=False)
            overtaken, self._overtaken = self._overtaken, None
            if self._reply is not None:
                self._reply.hold(on=False)
            elif overtaken is not None and overtaken.unheard():
                reply = self._begin(overtaken.account.source)
                self._perform(reply, partial(reply.go_on, overtaken))

    def _heard_partial(self, text: str) -> None:
        if self._setup.retriever is not None:
            self._setup.retriever.prefetch(text)
        self._stage.emit({"type": "transcript.partial", "text": text})

    def _heard_turn(self, turn: UserTurn) -> None:
        with self._scene.phases.together():
            self._scene.phases.user(speaks=False)
            self._cut()
            self._take_user_turn(
                turn.text,
                "voice",
                start_ms=turn.start_ms,
                end_ms=turn.end_ms,
                utterances=[_utterance(sentence) for sentence in turn.sentences],
            )
            reply = self._respond("voice")
        reply.account.measures.told(turn, self._stage.frame() * FRAME_MS)

    def _not_recognised(self, exc: AdapterError) -> None:
        """The customer said something, and nobody can tell what."""
        code = f"recognition_{exc.code.removeprefix('provider_')}"
        with self._scene.phases.together():
            self._scene.phases.user(speaks=False)
            self._cut()
            reply = self._begin("voice")
        self._perform(reply, partial(reply.tell, _failing(Fault("recognition", code, str(exc)))))

    def _unheard(self, code: str, detail: str) -> None:
        self._stage.emit({"type": "error", "code": code, "detail": detail})

    # --- Turns ---------------------------------------------------------------------------------

    def _check(self, text: str | None, pcm48k: bytes | None) -> None:
        if self._closed:
            raise Conflict("The session has ended.", code="session_not_active")
        if (text is None) == (pcm48k is None):
            raise InvalidInput("Give either text or sound.", code="text_or_sound")
        if text is not None and not text.strip():
            raise InvalidInput("There is no text.", code="text_empty")
        if text is not None and len(text) > self._setup.limits.text_characters:
            raise InvalidInput("The text is too long.", code="text_too_long")
        if pcm48k is not None and (not pcm48k or len(pcm48k) % 2):
            raise InvalidInput("This is no 16-bit sound.", code="sound_invalid")

    def _number(self) -> int:
        number, self._turn = self._turn, self._turn + 1
        return number

    def _take_user_turn(
        self,
        text: str,
        source: Source,
        *,
        number: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        utterances: list[dict[str, Any]] | None = None,
    ) -> None:
        number = self._number() if number is None else number
        now_ms = self._stage.frame() * FRAME_MS
        record = TurnRecord(
            number=number,
            who="user",
            source=source,
            status="done",
            text=text,
            heard_text=text,
            start_ms=now_ms if start_ms is None else start_ms,
            end_ms=now_ms if end_ms is None else end_ms,
            utterances=utterances or [],
        )
        self._question = text
        self._history.add("user", text)
        over.heard(self._setup.session_id, record)
        self._stage.emit({"type": "transcript.final", "turn": number, "text": text})
        self._stage.journal.save(record)

    def _respond(self, source: Source) -> Reply:
        """Let the language model answer what was said last."""
        reply = self._begin(source)
        self._perform(reply, partial(reply.tell, self._answer(reply)))
        return reply

    def _speak_text(self, text: str, source: Source) -> Reply:
        reply = self._begin(source)
        self._perform(reply, partial(reply.recite, text))
        return reply

    def _answer(self, reply: Reply) -> AsyncGenerator[str, None]:
        return answer(self._setup, self._history.messages(), self._question, reply.account)

    async def _recorded(self, reply: Reply, number: int, pcm48k: bytes) -> AsyncGenerator[str, None]:
        """The answer to a recorded turn, which has to be recognised first."""
        setup = self._setup
        measures = reply.account.measures
        measures.waterfall.begin("asr")
        found = await recognised(setup.recognizer, pcm48k, setup.persona.language, setup.limits)
        measures.stt_provider = found.provider
        measures.waterfall.end("asr", provider=found.provider)
        self._take_user_turn(found.text, "upload", number=number)
        async with aclosing(self._answer(reply)) as answered:
            async for piece in answered:
                yield piece

    def _begin(self, source: Source) -> Reply:
        """Give the avatar a turn; every reply has an epoch of its own."""
        if self._stage.playout.epoch == self._epoch:
            self._stage.playout.interrupt()
        self._epoch = self._stage.playout.epoch
        account = Account(self._stage, self._number(), source, self._setup.voice)
        reply = Reply(self._scene, account, self._epoch, self._finished)
        self._reply = reply
        self._scene.phases.avatar(thinks=True)
        return reply

    def _perform(self, reply: Reply, work: Work) -> None:
        reply.task = self._spawn(self._guarded(reply, work))

    async def _guarded(self, reply: Reply, work: Work) -> None:
        session_id, turn = self._setup.session_id, reply.account.turn
        context.note(session=session_id, turn=turn)
        try:
            with tracing.within(tracing.turn(session_id, turn)):
                await work()
        except Exception:  # noqa: BLE001 - a mistake of ours ends this reply, not the session
            _log.exception("A reply of session %s failed", self._setup.session_id)
            if not reply.account.over:
                reply.account.fail(Fault("internal", "internal_error", "The answer failed."))
                self._drop(reply)

    def _finished(self, reply: Reply) -> None:
        over.tell(self._setup.session_id, reply.account)
        self._history.add("avatar", reply.account.heard_text)
        if self._reply is reply:
            self._reply = None
            self._scene.phases.avatar()
        account, desk = reply.account, self._setup.desk
        if account.ends and not account.interrupted and desk is not None and not self._closed:
            desk.end()

    def _cut(self) -> Interrupted:
        """Take the floor from the avatar, if it has it."""
        epoch = self._stage.playout.epoch
        self._stage.playout.interrupt()
        self._overtaken = None
        reply = self._reply
        if reply is None:
            return Interrupted(None, "")
        heard = reply.cut()
        self._stage.cancel_renders(epoch)
        return Interrupted(reply.account.turn, heard)

    def _drop(self, reply: Reply) -> None:
        if self._reply is reply:
            self._cut()

    # --- Playout -------------------------------------------------------------------------------

    def started(self, epoch: int, utterance: int, frame: int) -> None:
        if (reply := self._of(epoch)) is not None:
            reply.started(utterance, frame)

    def ended(
        self,
        epoch: int,
        utterance: int,  # noqa: ARG002
        frame: int,
        samples: int,
        *,
        interrupted: bool,
    ) -> None:
        if (reply := self._of(epoch)) is not None:
            reply.ended(frame, samples, interrupted=interrupted)

    def underrun(self, epoch: int, utterance: int, frame: int) -> None:  # noqa: ARG002
        if (reply := self._of(epoch)) is not None:
            reply.account.stood_still(frame)

    def resumed(self, epoch: int, utterance: int, frame: int) -> None:  # noqa: ARG002
        if (reply := self._of(epoch)) is not None:
            reply.account.moved_on(frame, self._stage.playout.position().samples)

    def run(self, run: Any) -> None:
        """What was presented concerns the recorder alone."""

    def _of(self, epoch: int) -> Reply | None:
        reply = self._reply
        return reply if reply is not None and reply.epoch == epoch and not reply.account.over else None

    # --- Tasks ---------------------------------------------------------------------------------

    async def _prepare_apology(self) -> None:
        """Once nobody waits for the voice."""
        await asyncio.sleep(APOLOGY_SECONDS)
        while self._reply is not None:  # noqa: ASYNC110 - there is no hurry
            await asyncio.sleep(APOLOGY_SECONDS)
        setup = self._setup
        text = apology.apology(setup.persona.apology, setup.voice.language)
        await apology.prepare(text, setup.voice, setup.synthesizer)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _utterance(sentence: Hypothesis) -> dict[str, Any]:
    words = [[word.text, word.start_ms, word.end_ms] for word in sentence.words]
    return {
        "text": sentence.text,
        "start_ms": sentence.start_ms,
        "end_ms": sentence.end_ms,
        "words": words,
    }


async def _failing(fault: Fault) -> AsyncGenerator[str, None]:
    raise fault
    yield ""
