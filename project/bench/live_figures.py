"""The figures of live sessions: their names, units and boundaries, and the values that were collected.

A receiver's figure is timed by a client where packets arrive; a server's is what the service says of the
same turn. The two are never mixed under one name.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from project.bench.config import StubDelays
from project.bench.results import Better, Result, Source, Stage, State
from project.bench.results import Turn as Waterfall
from project.bench.turns import Turn


@dataclass(frozen=True, slots=True)
class Kind:
    """What a figure is. `boundary` says from where to where."""

    unit: str
    source: Source
    boundary: str
    better: Better = "less"


KINDS = {
    "startup_ms": Kind("ms", "machine", "from the stack's first process until every part of it is ready"),
    "session_create_ms": Kind("ms", "receiver", "from sending POST sessions until its answer is read"),
    "join_ms": Kind("ms", "receiver", "from opening the WebSocket until the session's state is told"),
    "webrtc_answer_ms": Kind("ms", "receiver", "from sending the offer until the answer is there"),
    "webrtc_first_frame_ms": Kind(
        "ms", "receiver", "from sending the offer until the first picture is decoded (Chromium: shown)"
    ),
    "page_first_frame_ms": Kind(
        "ms", "receiver", "from the click on Start until the browser shows a picture"
    ),
    "ttfa_ms": Kind(
        "ms", "receiver", "from the question (aloud: its last sound) until the first audible packet is there"
    ),
    "ttfa_above_stub_ms": Kind(
        "ms", "receiver", "ttfa_ms less the fixed delays of the stub for the first piece of the answer"
    ),
    "ttfv_ms": Kind(
        "ms",
        "receiver",
        "from the question (aloud: its last sound) until the picture of its first sound is there",
    ),
    "first_words_ms": Kind(
        "ms", "receiver", "from the question until the first words of the answer are read"
    ),
    "asr_partial_seen_ms": Kind(
        "ms", "receiver", "from the first sound of the question until its first words are read"
    ),
    "asr_final_seen_ms": Kind("ms", "receiver", "from the last sound of the question until its text is read"),
    "first_turn_total_ms": Kind(
        "ms", "receiver", "from the first question of a session until the last audible packet of its answer"
    ),
    "turn_total_ms": Kind(
        "ms", "receiver", "from a later question until the last audible packet of its answer"
    ),
    "answer_ms": Kind("ms", "receiver", "from the first to the last audible packet of an answer", ""),
    "playback_fps": Kind("fps", "receiver", "pictures that arrived in a turn, by its length", "more"),
    "freezes": Kind("1", "receiver", "pauses between two pictures of a turn of more than 190 ms"),
    "longest_gap_ms": Kind("ms", "receiver", "the longest pause between two pictures of a turn"),
    "interrupt_ms": Kind(
        "ms", "receiver", "from sending avatar.interrupt until the first packet of the silence that stays"
    ),
    "barge_in_ms": Kind(
        "ms",
        "receiver",
        "from the first sound of a voice that speaks into the answer until the answer is silent",
    ),
    "late_packets": Kind("1", "receiver", "packets of an interrupted answer that came behind its silence"),
    "av_drift_ms": Kind(
        "ms", "receiver", "how much the voice lags behind the lips of a test card (less than 0: it leads)", ""
    ),
    "av_drift_reported_ms": Kind(
        "ms",
        "receiver",
        "how much later sound is due than its picture by the sender's reports, within 20 ms",
        "",
    ),
    "av_drift_estimated_ms": Kind(
        "ms",
        "receiver",
        "how much older the sound is that a browser plays than its picture, as it estimates",
        "",
    ),
    "asr_partial_latency_ms": Kind(
        "ms", "server", "from the beginning of the customer's voice to the first recognised words"
    ),
    "asr_final_ms": Kind("ms", "server", "what was waited for the words when the spoken turn was over"),
    "retrieval_ms": Kind("ms", "server", "looking for passages of the persona's documents"),
    "llm_first_token_ms": Kind("ms", "server", "from the question to the language model's first token"),
    "tts_first_pcm_ms": Kind("ms", "server", "from the first piece of the answer to its first sound"),
    "avatar_first_frame_ms": Kind(
        "ms", "server", "from handing over the first sound to the first rendered fragment"
    ),
    "response_ms": Kind("ms", "server", "from the end of the customer's voice to the first frame shown"),
    "render_fps": Kind("fps", "worker", "frames of a turn by the time that drawing them took", "more"),
    "steady_chunk_ms": Kind("ms", "worker", "drawing one chunk, median of a turn's after its first"),
    "render_queue_ms": Kind("ms", "worker", "from sending a render request until a worker begins it"),
    "queue_depth": Kind("1", "server", "the most chunks of a session that were under way at once"),
    "underruns": Kind("1", "server", "times that the answer had to wait for its pictures"),
}
SERVER = tuple(name for name, kind in KINDS.items() if kind.source in ("server", "worker"))
Place = tuple[str, State, str]  # name, state, case


@dataclass
class Figures:
    """Values as they come; `into` a result when all are there."""

    model: str = ""
    values: dict[Place, list[float]] = field(default_factory=lambda: defaultdict(list))
    missing: dict[Place, str] = field(default_factory=dict)
    waterfalls: list[Waterfall] = field(default_factory=list)
    calls: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def call(self, receiver: str, failure: str = "") -> None:
        """Count a call of another receiver, which came to its end, or how it failed."""
        self.calls[receiver].append(failure)

    def add(self, name: str, state: State, *values: float | None, case: str = "") -> None:
        """Keep values of a figure of `KINDS`; None is one that could not be measured."""
        assert name in KINDS, name
        self.values[name, state, case] += [value for value in values if value is not None]

    def lack(self, name: str, state: State, why: str, *, case: str = "") -> None:
        """Say why a figure is not there."""
        self.missing[name, state, case] = why
        self.values[name, state, case] += []

    def turn(self, turn: Turn, state: State) -> None:
        """Keep everything of a turn, and how its time went by."""
        case: str = turn.input
        for name, value in turn.received.items():
            self.add(self._named(name, state), state, value, case=case)
        self.add("playback_fps", state, turn.fps, case=case)
        self.add("freezes", state, turn.freezes, case=case)
        self.add("longest_gap_ms", state, turn.longest_ms, case=case)
        for name in SERVER:
            told = turn.server.get(name)
            if isinstance(told, int | float):
                self.add(name, state, told, case=case)
        number = 1 + sum(one.state == state for one in self.waterfalls)
        self.waterfalls.append(
            Waterfall(f"{turn.input}, {state}, {number}", state, tuple(stages(turn)), self.model)
        )

    @staticmethod
    def _named(name: str, state: State) -> str:
        return "first_turn_total_ms" if name == "turn_total_ms" and state != "steady" else name

    def into(self, result: Result) -> None:
        """Write them down, in the order of `KINDS`."""
        order = {name: number for number, name in enumerate(KINDS)}
        for (name, state, case), values in sorted(self.values.items(), key=lambda item: order[item[0][0]]):
            kind = KINDS[name]
            result.add(
                name,
                kind.unit,
                values,
                state=state,
                boundary=kind.boundary,
                source=kind.source,
                model=self.model,
                case=case,
                better=kind.better,
                missing=self.missing.get((name, state, case), "no client could tell"),
            )
        result.turns += self.waterfalls
        for receiver, calls in self.calls.items():
            failed = [failure for failure in calls if failure]
            told = f"{len(failed)} of {len(calls)} failed" + (
                f", the last with {failed[-1]}" if failed else ""
            )
            result.check(f"{self.model}: every call of {receiver} came to its end", not failed, told)


def stages(turn: Turn) -> Iterable[Stage]:
    """The bars of a turn: the service's own where it tells them, and what its customer heard and saw."""
    told = turn.server.get("stages")
    yield from _told(told) if isinstance(told, list) else _derived(turn.server)
    for name, begin, end in (
        ("to the first picture, at the customer", "", "ttfv_ms"),
        ("to the first sound, at the customer", "", "ttfa_ms"),
        ("heard by the customer", "ttfa_ms", "turn_total_ms"),
    ):
        if end in turn.received:
            yield Stage(name, round(turn.received.get(begin, 0.0), 1), round(turn.received[end], 1))


def _told(told: list[dict[str, object]]) -> Iterable[Stage]:
    """The service's bars; of a stage that is told piece by piece only the pieces."""
    pieces = {bar["name"] for bar in told if bar.get("piece")}
    for bar in told:
        if bar.get("piece") or bar["name"] not in pieces:
            begin, end = float(str(bar["from_ms"])), float(str(bar["to_ms"]))
            yield Stage(str(bar["name"]), begin, end, str(bar.get("provider") or ""))


def _derived(figures: dict[str, object]) -> Iterable[Stage]:
    """Bars of the first piece, for a service that tells single figures only."""

    def known(name: str) -> float | None:
        value = figures.get(name)
        return float(value) if isinstance(value, int | float) else None

    token, piece, sound = known("llm_first_token_ms"), known("first_piece_ms"), known("tts_first_pcm_ms")
    frame, audible = known("avatar_first_frame_ms"), known("first_audible_ms")
    if token is not None:
        yield Stage("llm, first token", 0.0, token, str(figures.get("llm_provider") or ""))
    if token is not None and piece is not None:
        yield Stage("llm, first piece", token, piece)
    at = piece or 0.0
    if sound is not None:
        yield Stage("tts, first sound", at, at + sound, str(figures.get("tts_provider") or ""))
        at += sound
    if frame is not None:
        yield Stage("render, first fragment", at, at + frame)
        at += frame
    if audible is not None:
        yield Stage("playout", min(at, audible), audible)


def stub_words(delays: StubDelays) -> str:
    """What a report says of the stub of providers."""
    told = ", ".join(f"{name} {value:g}" for name, value in asdict(delays).items())
    return (
        "The language model, the voice and the recogniser are a stub of fixed delays, which the figures "
        f"include ({told}). Only ttfa_above_stub_ms is less those for the first piece of an answer."
    )
