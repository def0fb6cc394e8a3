"""Who has the floor, told by probabilities alone."""

import pytest

from sessions.pipeline.turns import Heard, Turn, TurnRules, TurnTaker, completeness

CHUNK = 32


class Told:
    """Feeds probabilities, one for each 32 ms, and notes what was decided and when."""

    def __init__(self, rules: TurnRules | None = None) -> None:
        self.taker = TurnTaker(rules or TurnRules())
        self.now = 0
        self.decisions: list[tuple[str, int]] = []

    def hear(self, ms: int, probability: float, *, avatar: bool = False, explained: bool = False) -> "Told":
        for _ in range(round(ms / CHUNK)):
            self.now += CHUNK
            decision = self.taker.hear(Heard(self.now, probability, avatar, explained))
            if decision:
                self.decisions.append((decision, self.now))
            if decision in ("ended", "dropped"):
                self.taker.end()
        return self

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.decisions]


def test_a_turn_begins_with_a_voice_and_ends_with_silence():
    told = Told().hear(320, 0.1).hear(960, 0.9).hear(960, 0.05)
    assert told.names == ["started", "paused", "ended"]
    (_, started), (_, paused), (_, ended) = told.decisions
    assert started - 320 == 96
    assert 256 <= paused - 1280 < 256 + CHUNK
    assert 700 <= ended - 1280 < 700 + CHUNK


def test_a_turn_is_known_from_where_its_voice_began():
    told = Told().hear(320, 0.1).hear(128, 0.9)
    assert told.taker.turn is not None
    assert told.taker.turn.start_ms == 320


def test_a_breath_between_words_is_no_end():
    told = Told().hear(640, 0.9).hear(480, 0.05).hear(640, 0.9).hear(960, 0.05)
    assert told.names == ["started", "paused", "resumed", "paused", "ended"]


def test_a_click_does_not_begin_a_turn():
    assert Told().hear(64, 0.9).hear(320, 0.1).hear(64, 0.9).hear(960, 0.1).names == []


def test_a_turn_with_hardly_any_voice_is_dropped():
    assert Told().hear(128, 0.9).hear(960, 0.1).names == ["started", "paused", "dropped"]


def test_a_turn_does_not_last_for_ever():
    told = Told(TurnRules(longest_turn_ms=2_000)).hear(3_000, 0.9)
    assert told.names[:2] == ["started", "ended"]
    assert told.decisions[1][1] == 2_016


@pytest.mark.parametrize(
    ("text", "wait"),
    [("Are you open on Sunday?", 550), ("I would like to", 1200), ("two tickets", 700), ("It is,", 1200)],
)
def test_words_decide_how_long_to_wait(text, wait):
    told = Told().hear(640, 0.9)
    told.taker.judge(text)
    told.hear(1_500, 0.05)
    assert wait <= told.decisions[-1][1] - 640 < wait + CHUNK


def test_words_of_one_turn_do_not_hurry_the_next():
    told = Told().hear(640, 0.9)
    told.taker.judge("Yes.")
    told.hear(960, 0.05)
    begun = told.now
    told.hear(640, 0.9).hear(960, 0.05)
    assert told.decisions[-1][1] - begun - 640 >= 700


def test_talking_over_the_avatar_takes_a_sustained_voice():
    assert Told().hear(160, 0.9, avatar=True).hear(640, 0.1, avatar=True).names == []
    told = Told().hear(640, 0.9, avatar=True)
    assert told.decisions == [("barged_in", 224)]


def test_a_doubtful_voice_does_not_interrupt():
    assert Told().hear(960, 0.55, avatar=True).names == []
    assert Told().hear(960, 0.55).names == ["started"]


def test_the_avatars_own_voice_does_not_interrupt():
    told = Told().hear(3_000, 0.95, avatar=True, explained=True)
    assert told.names == []
    told.hear(32, 0.95, avatar=True, explained=False)
    assert told.names == ["barged_in"]


def test_the_avatars_voice_does_not_keep_a_turn_open():
    told = Told().hear(640, 0.9).hear(960, 0.9, avatar=True, explained=True)
    assert told.names[-1] == "ended"


def test_a_pressed_button_holds_the_turn_open():
    told = Told()
    told.taker.press(0)
    told.hear(640, 0.9).hear(3_000, 0.05)
    assert told.names == []
    told.taker.release()
    told.hear(64, 0.05)
    assert told.names == ["ended"]


def test_confidence_is_about_the_voice_alone():
    told = Told().hear(320, 0.9).hear(320, 0.05)
    assert told.taker.turn is not None
    assert told.taker.turn.voiced_ms == 320
    assert told.taker.turn.confidence == pytest.approx(0.9)
    assert Turn(0, 0).confidence == 0.0


@pytest.mark.parametrize(
    ("text", "sounds"),
    [
        ("When are you open?", "complete"),
        ("はい。", "complete"),
        ('He said "yes."', "complete"),
        ("I want to know the.", "open"),
        ("Well, you know...", "open"),
        ("one ticket", "unknown"),
        ("  ", "unknown"),
    ],
)
def test_how_words_sound(text, sounds):
    assert completeness(text) == sounds
