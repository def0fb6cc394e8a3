"""What a conversation asks of the process that hosts it, and what it is set up with.

The runtime implements `Stage`; tests implement it with fakes. Nothing here knows Django, Redis or
WebRTC. All calls are made on the session's event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from workers.adapters.avatar.base import IDLE_FRAMES, Phone

if TYPE_CHECKING:
    from rtc.frames import Position, Segment
    from workers.adapters.llm.base import LanguageModel
    from workers.adapters.stt.base import Recognizer
    from workers.adapters.tts.base import Synthesizer
    from workers.speech.voices import Voice

Phase = Literal["idle", "listening", "thinking", "speaking"]
Who = Literal["user", "avatar"]
Source = Literal["voice", "text", "say", "upload"]
TurnStatus = Literal["open", "done", "failed"]
FailureMode = Literal["spoken", "written"]
Event = dict[str, Any]
"""A message to the client, `{"type": ..., ...}`; the runtime adds `seq` and `at_ms`."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sound of some frames, to be drawn by a render worker.

    `start_frame` is the phase of the avatar's motion at the first picture; it is not reduced to the
    length of the idle loop. `number` grows over the whole session. `pcm16k` is mono s16le at
    16 kHz: `lookback` samples, 640 for each frame, `lookahead` samples. Phones are timed from the
    first frame. `first` says that the idle loop is shown before it, `last` that the reply is over
    behind it.
    """

    epoch: int
    number: int
    start_frame: int
    frames: int
    pcm16k: bytes
    lookback: int
    lookahead: int
    phones: tuple[Phone, ...] = ()
    first: bool = False
    last: bool = False


class Rendered(Protocol):
    """A fragment as it came back (`workers.live.wire.RenderReply` is one)."""

    @property
    def data(self) -> bytes: ...

    @property
    def frames(self) -> int: ...

    @property
    def render_ms(self) -> float: ...

    @property
    def queue_ms(self) -> float: ...

    @property
    def seam(self) -> bool:
        """Whether the stream that drew what came before was lost."""


class PlayoutPort(Protocol):
    """The part of `rtc.playout.Playout` that a conversation uses."""

    @property
    def epoch(self) -> int: ...

    @property
    def phase(self) -> int: ...

    @property
    def speaking(self) -> bool: ...

    def push(self, segment: Segment) -> bool: ...

    def interrupt(self) -> int: ...

    def position(self) -> Position: ...

    def queued_frames(self) -> int: ...


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """Everything that is known of a turn by now; the names are the columns of `Turn`.

    Each save carries the whole turn, so saves may be repeated, and only the last one matters.
    Times are ms on the session's timeline. An entry of `utterances` is `{"text", "start_ms",
    "end_ms", "words": [[text, start_ms, end_ms], ...]}`, one of `sources` `{"document", "name", "page",
    "passage"}`.
    """

    number: int
    who: Who
    source: Source
    status: TurnStatus = "open"
    text: str = ""
    heard_text: str = ""
    start_ms: int | None = None
    end_ms: int | None = None
    interrupted: bool = False
    utterances: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)


class Journal(Protocol):
    """Writes down what was said. Returns at once: media never waits for the database."""

    def save(self, turn: TurnRecord) -> None: ...


class Stage(Protocol):
    """What the runtime gives a conversation. Only `render` is awaited."""

    @property
    def playout(self) -> PlayoutPort: ...

    @property
    def journal(self) -> Journal: ...

    def frame(self) -> int:
        """Return the frame of the session's timeline that is presented next; 0 before the first peer."""

    def emit(self, event: Event) -> None:
        """Send an event to the client; it is numbered, timed and kept for replay."""

    def phase_changed(self, phase: Phase) -> None:
        """Tell the client with `session.state`, and the row."""

    def render(self, chunk: Chunk) -> Awaitable[Rendered]:
        """Have a chunk drawn on the session's slot; at most two are awaited at a time.

        Raises `workers.live.client.RenderFailed` when it was tried long enough, and
        `RenderUnavailable` when nobody can be reached. Cancelling the wait forgets the request.
        """

    def cancel_renders(self, epoch: int) -> None:
        """Tell the workers that nothing of `epoch` or older is wanted any more. Returns at once."""

    def record(self, fragment: bytes, pcm48k: bytes, utterance: int) -> object:
        """Note a fragment and its sound for the recording; returns the tag of its `Segment`.

        `pcm48k` is mono s16le, 1920 samples for each frame of the fragment.
        """

    def measures(self) -> Mapping[str, Any]:
        """Return figures of the connection for the `metrics` event, such as `av_drift_ms`; may be empty."""


class Passage(Protocol):
    """A part of a document that may hold the answer; `page` counts from 1, None where there are none."""

    @property
    def document_id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def page(self) -> int | None: ...

    @property
    def index(self) -> int: ...

    @property
    def text(self) -> str: ...


class PassageSource(Protocol):
    """Looks things up in the persona's documents (`sessions.knowledge.retrieval.Retriever`)."""

    def prefetch(self, text: str) -> None:
        """Begin to look for what somebody is about to ask; the older look-up is forgotten."""

    def passages(self, question: str, *, deadline_seconds: float = 0.15) -> Awaitable[Sequence[Passage]]:
        """Return what was found by the deadline, the best first; never raises."""

    def close(self) -> None:
        """Give up what is under way. Returns at once."""


class Desk(Protocol):
    """What the service does for the tools of a conversation (`sessions.runtime.desk`)."""

    def end(self) -> None:
        """End the session: the avatar said goodbye, and was heard. Returns at once."""

    async def handover(self, reason: str) -> None:
        """Tell the owner's servers and the page that a human is wanted. Raises `ParleyError`."""

    async def call(self, name: str, url: str, arguments: Mapping[str, Any]) -> str:
        """Ask the owner's server; returns its answer, cut to a bounded length. Raises `ParleyError`."""


@dataclass(frozen=True, slots=True)
class PersonaSetup:
    """How the assistant behaves. `max_tokens` bounds one answer, `max_history_*` what it remembers.

    `max_answer_characters` ends one answer at a sentence. `tools` and `topics` are as `Persona` keeps
    them, checked when they were saved.
    """

    language: str = "en"
    system_prompt: str = ""
    greeting: str = ""
    knowledge: str = ""
    apology: str = ""
    max_tokens: int = 400
    max_history_turns: int = 20
    max_history_characters: int = 12_000
    max_answer_characters: int = 1_500
    tools: tuple[Mapping[str, Any], ...] = ()
    topics: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class AvatarSetup:
    """What a render request needs of the avatar, as the session remembers it."""

    model: str
    bundle_key: str
    bundle_sha256: str
    width: int
    height: int
    idle_frames: int = IDLE_FRAMES


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each wait may last, in seconds, and how far work may run ahead of playout.

    `render_seconds` is a last resort: the render client has deadlines of its own, for workers, for
    a slot and for a broker that is away.
    """

    first_token_seconds: float = 20.0
    next_token_seconds: float = 10.0
    first_sound_seconds: float = 10.0
    next_sound_seconds: float = 8.0
    recognition_seconds: float = 20.0
    render_seconds: float = 45.0
    reply_seconds: float = 180.0
    ahead_frames: int = 90
    text_characters: int = 5_000


@dataclass(frozen=True, slots=True)
class PastTurn:
    """What a session said before this process took it on, oldest first."""

    who: Who
    text: str


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a conversation is made of. `next_turn` is the number of the next turn."""

    session_id: str
    avatar: AvatarSetup
    voice: Voice
    persona: PersonaSetup
    language_model: LanguageModel
    synthesizer: Synthesizer
    recognizer: Recognizer
    failure: FailureMode = "spoken"
    limits: Limits = field(default_factory=Limits)
    past: tuple[PastTurn, ...] = ()
    next_turn: int = 1
    retriever: PassageSource | None = None
    desk: Desk | None = None
