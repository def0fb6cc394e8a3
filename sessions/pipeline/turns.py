"""When a customer begins to speak, and when it is the avatar's turn.

Pure: it is told what every 32 ms of sound hold, and returns what follows from that.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from sessions.pipeline.vad import CHUNK_MS

Decision = Literal["started", "barged_in", "paused", "resumed", "ended", "dropped"]


@dataclass(frozen=True, slots=True)
class TurnRules:
    """Times in ms, probabilities of a voice from 0 to 1.

    `begin_voiced_ms` of voice within `begin_within_ms` begin a turn; while the avatar speaks it takes
    `barge_in_voiced_ms`, and that the avatar's own sound does not explain it. A turn with less voice than
    `least_voiced_ms` was a cough and is dropped. `pause_ms` of silence is when a transcript is asked
    for; the turn ends after `end_silence_ms`, sooner (`quick_silence_ms`) when the words sound complete,
    later (`slow_silence_ms`) when they plainly go on.
    """

    begin_probability: float = 0.5
    stay_probability: float = 0.35
    begin_voiced_ms: int = 96
    begin_within_ms: int = 192
    barge_in_probability: float = 0.6
    barge_in_voiced_ms: int = 224
    barge_in_within_ms: int = 320
    least_voiced_ms: int = 160
    pause_ms: int = 256
    quick_silence_ms: int = 550
    end_silence_ms: int = 700
    slow_silence_ms: int = 1200
    longest_turn_ms: int = 30_000


@dataclass(frozen=True, slots=True)
class Heard:
    """32 ms of a customer's sound.

    `avatar_speaking` is also true while its last words may come back; `explained` where the sound may
    be the avatar from the loudspeaker.
    """

    end_ms: int
    probability: float
    avatar_speaking: bool = False
    explained: bool = False


@dataclass(slots=True)
class Turn:
    """The turn in progress. `voice_end_ms` is where the last voice was heard."""

    start_ms: int
    voice_end_ms: int
    voiced_ms: int = 0
    certainty: float = 0.0
    paused: bool = False

    @property
    def confidence(self) -> float:
        """Mean probability of a voice where there was one."""
        return self.certainty * CHUNK_MS / self.voiced_ms if self.voiced_ms else 0.0


class TurnTaker:
    """Follows one customer. `turn` is None while nobody speaks."""

    def __init__(self, rules: TurnRules) -> None:
        self._rules = rules
        self._recent: deque[Heard] = deque(
            maxlen=max(rules.barge_in_within_ms, rules.begin_within_ms) // CHUNK_MS
        )
        self._held = False
        self.turn: Turn | None = None
        self.patience_ms = rules.end_silence_ms

    def hear(self, heard: Heard) -> Decision | None:
        """What 32 ms more of sound mean."""
        return self._listen(heard) if self.turn is None else self._follow(self.turn, heard)

    def press(self, at_ms: int) -> None:
        """Push-to-talk: the turn is open until it is released, whatever is heard."""
        self._held = True
        if self.turn is None:
            self.turn = Turn(at_ms, at_ms)

    def moved(self, now_ms: int) -> None:
        """Time went by without sound: a turn without a voice yet, such as a pressed button, begins now."""
        if self.turn is not None and not self.turn.voiced_ms:
            self.turn.start_ms = self.turn.voice_end_ms = now_ms

    def release(self) -> None:
        self._held = False

    def end(self) -> None:
        """The turn is over, however that was decided."""
        self.turn = None
        self._recent.clear()
        self.patience_ms = self._rules.end_silence_ms

    def judge(self, text: str) -> None:
        """Wait longer or shorter for the end, as the words so far sound."""
        rules = self._rules
        waits = {"complete": rules.quick_silence_ms, "open": rules.slow_silence_ms}
        self.patience_ms = waits.get(completeness(text), rules.end_silence_ms)

    def _listen(self, heard: Heard) -> Decision | None:
        self._recent.append(heard)
        rules = self._rules
        cautious = heard.avatar_speaking
        within = rules.barge_in_within_ms if cautious else rules.begin_within_ms
        needed = rules.barge_in_voiced_ms if cautious else rules.begin_voiced_ms
        since = heard.end_ms - within
        voiced = [one for one in self._recent if one.end_ms > since and self._is_voice(one)]
        if heard.explained or heard not in voiced[-1:] or len(voiced) * CHUNK_MS < needed:
            return None
        self.turn = Turn(voiced[0].end_ms - CHUNK_MS, heard.end_ms)
        for one in voiced:
            self._count(self.turn, one)
        return "barged_in" if cautious else "started"

    def _is_voice(self, heard: Heard) -> bool:
        rules = self._rules
        needed = rules.barge_in_probability if heard.avatar_speaking else rules.begin_probability
        return heard.probability >= needed

    def _follow(self, turn: Turn, heard: Heard) -> Decision | None:
        if heard.probability >= self._rules.stay_probability and not heard.explained:
            self._count(turn, heard)
            turn.voice_end_ms = heard.end_ms
            resumed, turn.paused = turn.paused, False
            return self._too_long(turn, heard) or ("resumed" if resumed else None)
        if self._held:
            return self._too_long(turn, heard)
        silence = heard.end_ms - turn.voice_end_ms
        if silence >= self.patience_ms:
            return "ended" if turn.voiced_ms >= self._rules.least_voiced_ms else "dropped"
        if silence >= self._rules.pause_ms and not turn.paused:
            turn.paused = True
            return "paused"
        return None

    def _too_long(self, turn: Turn, heard: Heard) -> Decision | None:
        return "ended" if heard.end_ms - turn.start_ms >= self._rules.longest_turn_ms else None

    def _count(self, turn: Turn, heard: Heard) -> None:
        turn.voiced_ms += CHUNK_MS
        turn.certainty += heard.probability


# English words that no sentence ends with.
_OPEN_ENDS = frozenset(
    """and or but so because if when while that which the a an of to in for with from my your um uh er hmm
    like is are was""".split()  # noqa: SIM905 - 34 quoted words read worse
)


def completeness(text: str) -> Literal["complete", "open", "unknown"]:
    """Whether words sound finished: a mark at the end, or a word that cannot be the last one."""
    stripped = text.rstrip().rstrip("\"'”’)")  # noqa: RUF001 - marks of other languages
    if not stripped:
        return "unknown"
    if stripped.endswith(("...", "…", ",", "-", "、")):
        return "open"
    last = stripped.rstrip(".").rpartition(" ")[2].lower()
    if last in _OPEN_ENDS:
        return "open"
    return "complete" if stripped[-1] in ".!?。！？" else "unknown"  # noqa: RUF001
