"""What a run does: the section `faults` of a file under configs/benchmark/, and what its seed draws of it.

    faults:
      seed: 7
      clips: {count: 20, at_once: 10, words: [4, 20], voices: [en-joe], canceled: 0.1, repeated: 0.2,
              cards: 0.25}
      sessions: {at_once: 1, questions: 3, pause_seconds: [1, 3]}
      failures:
        count: 6
        kinds:
          - {part: render, how: kill, weight: 2}
          - {part: storage, how: stop, seconds: 8}

Two runs of one plan order the same clips and break the same parts, at the same share of the work.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

How = Literal["kill", "terminate", "stop", "forget"]
PARTS = (
    *("render", "live", "general", "avatars", "web", "valkey", "storage", "speech", "scheduler"),
    "providers",
)
TEXT = (
    "the shop opens at nine and closes when the last customer has found what she was looking for "
    "please bring the receipt with you because we cannot return your money without it thank you "
    "our blue shoes are warm and dry while the green ones are light and made for long summer days"
)
WORDS = tuple(TEXT.split())


@dataclass(frozen=True, slots=True)
class Kind:
    """A way for a part to fail: `kill` -9, `terminate`, `stop` for so many seconds, or `forget` (-9, and
    the data is gone). Of parts that are there several times one is drawn."""

    part: str
    how: How
    seconds: float = 0.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        _demand(self.part in PARTS, f"failures: no part {self.part!r}; there are {', '.join(PARTS)}")
        _demand(self.how != "forget" or self.part == "valkey", "failures: only valkey can forget")
        _demand((self.how == "stop") == (self.seconds > 0), f"failures: seconds belong to stop ({self.part})")
        _demand(self.weight > 0, f"failures: the weight of {self.part} must be above 0")


@dataclass(frozen=True, slots=True)
class Clips:
    """The batch. `at_once` are under way at most; shares are of 1. A model "" is the avatar's own."""

    count: int
    at_once: int = 20
    words: tuple[int, int] = (4, 30)
    voices: tuple[str, ...] = ("",)
    models: tuple[str, ...] = ("",)
    canceled: float = 0.0
    repeated: float = 0.0
    cards: float = 0.0  # with a test card, each of whose pictures tells its place

    def __post_init__(self) -> None:
        _demand(self.count > 0 and self.at_once > 0, "clips: count and at_once must be above 0")
        _demand(0 < self.words[0] <= self.words[1], "clips: words must be [fewest, most]")
        _demand(bool(self.voices and self.models), "clips: voices and models must not be empty")
        shares = (self.canceled, self.repeated, self.cards)
        _demand(all(0 <= share <= 1 for share in shares), "clips: shares lie between 0 and 1")


@dataclass(frozen=True, slots=True)
class Sessions:
    """How many customers talk at once, what each session is, until the batch is done."""

    at_once: int = 1
    questions: int = 4
    pause_seconds: tuple[float, float] = (1.0, 4.0)
    voice: str = ""
    model: str = ""
    spoken: float = 0.0  # the share of questions that are asked aloud; the stub alone understands them
    cards: bool = True  # every other one is with a test card, whose pictures can be told apart


@dataclass(frozen=True, slots=True)
class Failures:
    """`count` of them, spread over the batch; a share of `together` comes with the next one at once.

    After each, at least `spare_seconds` pass in which everything is there.
    """

    count: int
    kinds: tuple[Kind, ...]
    spare_seconds: float = 2.0
    together: float = 0.0

    def __post_init__(self) -> None:
        _demand(self.count == 0 or bool(self.kinds), "failures: kinds must not be empty")
        _demand(0 <= self.together <= 1, "failures: together lies between 0 and 1")


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run."""

    seed: int
    clips: Clips
    failures: Failures
    sessions: Sessions = Sessions()
    speech: Literal["sidecar", "stub"] = "sidecar"  # the stub costs nothing
    end_seconds: float = 600.0  # after the last fault everything has ended within this

    def __post_init__(self) -> None:
        _demand(self.speech == "stub" or not self.sessions.spoken, "sessions: spoken needs `speech: stub`")
        if self.speech == "stub":
            _demand(
                all(kind.part != "speech" for kind in self.failures.kinds),
                "failures: with `speech: stub` there is no part speech",
            )


@dataclass(frozen=True, slots=True)
class Order:
    """One clip that a customer wants: what is posted, and what happens to it besides."""

    number: int
    script: str
    voice: str
    model: str
    cancel_after: float | None  # seconds after it was accepted
    repeats: int  # how often the same request is sent again
    card: bool = False  # of the test card, not of the avatar

    def body(self, avatar: str, callback_url: str) -> dict[str, Any]:
        chosen = {name: value for name in ("voice", "model") if (value := getattr(self, name))}
        told = {"number": self.number}
        return {
            "avatar": avatar,
            "script": self.script,
            "callback_url": callback_url,
            "metadata": told,
            **chosen,
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure: when so much of the batch (0 to 1) is done, this happens to part `part`."""

    at: float
    kind: Kind
    which: int  # drawn; the number of the part is `which` modulo how many there are
    with_next: bool = False


def orders(plan: Plan) -> list[Order]:
    """Draw the clips of a plan."""
    draw = random.Random(f"{plan.seed} clips")
    count = plan.clips.count
    cards = random.Random(f"{plan.seed} cards").sample(range(count), round(count * plan.clips.cards))
    return [_order(number, plan.clips, draw, card=number in cards) for number in range(count)]


def _order(number: int, clips: Clips, draw: random.Random, *, card: bool) -> Order:
    words = [draw.choice(WORDS) for _ in range(draw.randint(*clips.words))]
    sentences = _sentences(words, draw)
    return Order(
        number=number,
        script=f"Clip number {number}. {sentences}",
        voice=clips.voices[number % len(clips.voices)],
        model="" if card else clips.models[number % len(clips.models)],
        cancel_after=draw.uniform(0.0, 6.0) if draw.random() < clips.canceled else None,
        repeats=draw.randint(1, 2) if draw.random() < clips.repeated else 0,
        card=card,
    )


def _sentences(words: Sequence[str], draw: random.Random) -> str:
    out: list[str] = []
    rest = list(words)
    while rest:
        length = min(len(rest), draw.randint(4, 14))
        sentence, rest = rest[:length], rest[length:]
        out.append(" ".join(sentence).capitalize() + ".")
    return " ".join(out)


def failures(plan: Plan) -> list[Failure]:
    """Draw the failures of a plan, in the order in which they happen; each kind comes once where it can."""
    wanted = plan.failures
    draw = random.Random(f"{plan.seed} faults")
    once = draw.sample(wanted.kinds, k=min(wanted.count, len(wanted.kinds)))
    more = wanted.count - len(once)
    kinds = once + draw.choices(wanted.kinds, [kind.weight for kind in wanted.kinds], k=more)
    draw.shuffle(kinds)
    drawn = []
    at_once: set[str] = set()  # what is dead already cannot die again at the same moment
    for number, kind in enumerate(kinds):
        at = (number + draw.uniform(0.2, 0.8)) / (len(kinds) + 1)  # the last ones leave work behind them
        at_once.add(kind.part)
        together = number + 1 < len(kinds) and draw.random() < wanted.together
        together = together and kinds[number + 1].part not in at_once
        at_once = at_once if together else set()
        drawn.append(Failure(at, kind, draw.randrange(1000), together))
    return drawn


def _demand(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
