"""A stage with real playout, and providers that do as they are told, in time that is not waited for.

Every fake that opens something counts it in `open`, so a test can see that nothing stays behind.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache, wraps
from typing import Any

import numpy as np

from rtc.frames import IdleLoop, PlayedRun
from rtc.packets import access_units
from rtc.playout import Playout
from sessions.pipeline.conversation import Conversation
from sessions.pipeline.ports import (
    AvatarSetup,
    Chunk,
    Event,
    Limits,
    PersonaSetup,
    Phase,
    Setup,
    TurnRecord,
)
from workers.adapters.avatar.base import Phone
from workers.adapters.errors import AdapterError
from workers.adapters.llm.base import Message, Piece, Tool, ToolCall, Usage
from workers.adapters.stt.base import Transcript
from workers.adapters.stt.growing import Growing
from workers.adapters.tts.base import PcmChunk, SpeechEvent, SpeechRequest, Timings, Word
from workers.live.errors import RenderFailed
from workers.rendering.encode import FragmentEncoder
from workers.speech.voices import Voice

RATE = 24_000
MS_PER_CHARACTER = 60
FRAME = 0.04

VOICE = Voice(
    id="test-voice",
    provider="scripted",
    provider_voice="v",
    name="V",
    language="en-US",
    gender="neutral",
    gain_db=0.0,
    tempo=1.0,
    characters_per_second=1000 / MS_PER_CHARACTER,
    sample_text="",
    understands_ipa=False,
    fast=True,
)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer when nobody has anything to do."""

    def __init__(self) -> None:
        super().__init__(_Jump(self))
        self.now = 1000.0

    def time(self) -> float:
        return self.now


class _Jump(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits, and nothing will happen")
        if not ready and timeout:
            self._loop.now += timeout
        return ready


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on a `VirtualLoop`: minutes of conversation pass in no time."""

    @wraps(test)
    def run(*args: Any, **named: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **named))

    return run


@cache
def fragment(frames: int) -> bytes:
    """A real fragment of a tiny grey picture."""
    encoder = FragmentEncoder(width=32, height=32, keyint=5)
    for frame in range(frames):
        encoder.push(np.full((48, 32), 90 + frame % 50, np.uint8))
    return encoder.finish().data


def tone(ms: int, rate: int = RATE) -> bytes:
    times = np.arange(rate * ms // 1000) / rate
    return (np.sin(2 * np.pi * 200 * times) * 8000).astype("<i2").tobytes()


@contextmanager
def counted(counter: Any) -> Any:
    counter.open += 1
    try:
        yield
    finally:
        counter.open -= 1


@dataclass
class ScriptedModel:
    """Each answer is a list of texts, calls, numbers (seconds to wait) and errors; then it is over."""

    answers: deque[Sequence[Any]] = field(default_factory=deque)
    asked: list[list[Message]] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    tools: list[list[str]] = field(default_factory=list)
    open: int = 0
    provider: str = "scripted"

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        knowledge: str = "",
        language: str = "en",
        tools: Sequence[Tool] = (),
    ) -> AsyncGenerator[Piece, None]:
        self.asked.append(list(messages))
        self.known.append(knowledge)
        self.tools.append([tool.name for tool in tools])
        with counted(self):
            for step in self.answers.popleft():
                if isinstance(step, str | ToolCall | Usage):
                    yield step
                elif isinstance(step, BaseException):
                    raise step
                else:
                    await asyncio.sleep(step)

    async def aclose(self) -> None: ...


def tokens(text: str, first: float = 0.15, each: float = 0.02) -> list[Any]:
    """A text as a model writes it."""
    steps: list[Any] = [first]
    for number, word in enumerate(text.split(" ")):
        steps += [word if not number else f" {word}", each]
    return steps


@dataclass
class ScriptedVoice:
    """Says 60 ms for each character. `faults` maps the number of a request to what goes wrong.

    A fault is an error, raised before any sound; "cut", raised in the middle; "stall", before any
    sound; "stall_inside"; or "silence". `rate` is how many seconds of sound come in a second.
    """

    first: float = 0.1
    rate: float = 0.0
    faults: dict[int, Any] = field(default_factory=dict)
    phones: bool = False
    said: list[str] = field(default_factory=list)
    open: int = 0
    provider: str = "scripted"

    def synthesize(self, request: SpeechRequest) -> Any:
        raise NotImplementedError

    async def stream(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        number = len(self.said)
        self.said.append(request.text)
        fault = self.faults.get(number)
        with counted(self):
            await asyncio.sleep(3600 if fault == "stall" else self.first)
            if isinstance(fault, Exception):
                raise fault
            async for event in self._sound(request.text, fault):
                yield event

    async def _sound(self, text: str, fault: Any) -> AsyncGenerator[SpeechEvent, None]:
        pcm = tone(len(text) * MS_PER_CHARACTER)
        if fault == "silence":
            pcm = bytes(len(pcm))
        step = RATE // 5  # 100 ms, in bytes
        for at in range(0, len(pcm), step):
            yield PcmChunk(pcm[at : at + step], RATE)
            if self.rate:
                await asyncio.sleep(0.1 / self.rate)
            if at > len(pcm) // 2 and fault == "cut":
                raise AdapterError("cut", provider="scripted", retryable=True, code="provider_truncated")
            if at > len(pcm) // 2 and fault == "stall_inside":
                await asyncio.sleep(3600)
        yield _timings(text, phones=self.phones)


def _timings(text: str, *, phones: bool) -> Timings:
    at, words = 0, []
    for word in text.split(" "):
        end = at + len(word) * MS_PER_CHARACTER
        words.append(Word(word, at, end))
        at = end + MS_PER_CHARACTER
    told = (Phone("a", 0, at),) if phones else ()
    return Timings(told, tuple(words))


@dataclass
class ScriptedEars(Growing):
    """Understands what it was given in `texts`; an error among them is raised, a number waited for."""

    texts: deque[Any] = field(default_factory=deque)
    heard: list[bytes] = field(default_factory=list)
    provider: str = "scripted"

    def recognize(self, audio: bytes, *, language: str = "") -> Transcript:
        raise NotImplementedError

    async def listen(self, audio: bytes, *, language: str = "") -> Transcript:
        self.heard.append(audio)
        await asyncio.sleep(0.3)
        text = self.texts.popleft() if self.texts else ""
        if isinstance(text, Exception):
            raise text
        if not isinstance(text, str):
            await asyncio.sleep(text)
            text = ""
        return Transcript(text)


@dataclass(frozen=True)
class Drawn:
    data: bytes
    frames: int
    render_ms: float = 20.0
    queue_ms: float = 2.0
    seam: bool = False


@dataclass
class ScriptedWorker:
    """Draws a chunk in 20 ms and 2 ms a frame. `faults` maps a chunk's place in time to a fault:
    "fail", "stall", "garbage", "short" (fewer pictures than asked for)."""

    seconds: float = 0.02
    faults: dict[int, str] = field(default_factory=dict)
    chunks: list[Chunk] = field(default_factory=list)
    open: int = 0
    most: int = 0

    async def render(self, chunk: Chunk) -> Drawn:
        number = len(self.chunks)
        self.chunks.append(chunk)
        fault = self.faults.get(number)
        with counted(self):
            self.most = max(self.most, self.open)
            await asyncio.sleep(3600 if fault == "stall" else self.seconds + 0.002 * chunk.frames)
        if fault == "fail":
            raise RenderFailed("no worker", code="render_timeout")
        data = b"no film" if fault == "garbage" else fragment(chunk.frames - (fault == "short"))
        return Drawn(data, chunk.frames)


class Stage:
    """A host: real playout, ticked every 40 ms; everything that was said to it is kept."""

    def __init__(self, worker: ScriptedWorker) -> None:
        self.worker = worker
        self.events: list[Event] = []
        self.times: list[float] = []
        self.phases: list[Phase] = []
        self.turns: dict[int, TurnRecord] = {}
        self.cancelled: list[int] = []
        self.recorded: list[tuple[bytes, bytes, int]] = []
        self.played: list[PlayedRun] = []
        self.talker: Conversation | None = None
        self.playout = Playout(IdleLoop(access_units(fragment(250))), listener=self)
        self.ticks: list[Any] = []
        self.most_queued = 0

    @property
    def journal(self) -> "Stage":
        return self

    def save(self, turn: TurnRecord) -> None:
        self.turns[turn.number] = turn

    def frame(self) -> int:
        return self.playout.frame

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self.times.append(asyncio.get_running_loop().time())

    def phase_changed(self, phase: Phase) -> None:
        self.phases.append(phase)

    def render(self, chunk: Chunk) -> Any:
        return self.worker.render(chunk)

    def cancel_renders(self, epoch: int) -> None:
        self.cancelled.append(epoch)

    def record(self, fragment: bytes, pcm48k: bytes, utterance: int) -> object:
        self.recorded.append((fragment, pcm48k, utterance))
        return len(self.recorded) - 1

    def measures(self) -> Mapping[str, Any]:
        return {"av_drift_ms": 0.0}

    def started(self, *told: Any) -> None:
        if self.talker:
            self.talker.started(*told)

    def ended(self, *told: Any, interrupted: bool) -> None:
        if self.talker:
            self.talker.ended(*told, interrupted=interrupted)

    def underrun(self, *told: Any) -> None:
        if self.talker:
            self.talker.underrun(*told)

    def resumed(self, *told: Any) -> None:
        if self.talker:
            self.talker.resumed(*told)

    def run(self, run: PlayedRun) -> None:
        self.played.append(run)

    async def pump(self) -> None:
        """Present a frame every 40 ms."""
        frame = self.playout.frame
        while True:
            self.most_queued = max(self.most_queued, self.playout.queued_frames())
            self.ticks.append(self.playout.tick(frame))
            frame += 1
            await asyncio.sleep(FRAME)


@dataclass
class Room:
    """A conversation, its stage and its providers."""

    conversation: Conversation
    stage: Stage
    model: ScriptedModel
    voice: ScriptedVoice
    ears: ScriptedEars
    worker: ScriptedWorker

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.stage.events if event["type"] == kind]

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.stage.events]

    def when(self, kind: str, number: int = 0) -> float:
        """When an event was sent, in seconds of the loop."""
        times = [t for e, t in zip(self.stage.events, self.stage.times, strict=True) if e["type"] == kind]
        return times[number]

    async def until(self, kind: str, count: int = 1, seconds: float = 60.0) -> Event:
        """Wait for the `count`th event of a kind."""
        async with asyncio.timeout(seconds):
            while len(self.of(kind)) < count:
                await asyncio.sleep(0.01)
        return self.of(kind)[count - 1]

    @property
    def open(self) -> int:
        return self.model.open + self.voice.open + self.worker.open


@asynccontextmanager
async def room(
    *,
    answers: Iterable[Sequence[Any]] = (),
    voice: ScriptedVoice | None = None,
    worker: ScriptedWorker | None = None,
    ears: Iterable[Any] = (),
    ticking: bool = True,
    **changes: Any,
) -> Any:
    """A conversation ready to be talked to; on leaving, nothing of it may be left."""
    model, voice = ScriptedModel(deque(answers)), voice or ScriptedVoice()
    worker, hearing = worker or ScriptedWorker(), ScriptedEars(deque(ears))
    stage = Stage(worker)
    setup = Setup(
        session_id="ses_test",
        avatar=AvatarSetup("viseme", "bundle", "sha", 32, 32),
        voice=changes.pop("with_voice", VOICE),
        persona=changes.pop("persona", PersonaSetup(system_prompt="Be kind.")),
        language_model=model,
        synthesizer=voice,
        recognizer=hearing,
        limits=changes.pop("limits", Limits()),
        **changes,
    )
    before = asyncio.all_tasks()
    conversation = Conversation(setup, stage)
    stage.talker = conversation
    pump = asyncio.create_task(stage.pump()) if ticking else None
    made = Room(conversation, stage, model, voice, hearing, worker)
    try:
        yield made
    finally:
        await conversation.close()
        if pump:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
        assert asyncio.all_tasks() == before, "a task was left behind"
        assert made.open == 0, "a provider was left open"
