"""A microphone with real speech in it, and what a listener makes of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from sessions.pipeline.listen import Ears, Listener, ListenOptions, UserTurn
from sessions.pipeline.recognise import RecogniseOptions
from sessions.pipeline.turns import TurnRules
from sessions.pipeline.vad import VoiceDetector
from tests.support.hearing import Scribe, clicks, cough, fan, loudspeaker, mixed, pieces, room, spoken
from workers.adapters.errors import AdapterError


@dataclass
class Customer:
    """A listener and everything it told, with the moment of the microphone's time."""

    listener: Listener
    scribe: Scribe
    told: list[tuple[Any, ...]]
    now: int = 0
    turns: list[UserTurn] = field(default_factory=list)

    async def hear(self, pcm: bytes, ms: int = 60) -> "Customer":
        begun = self.now
        for piece, end in pieces(pcm, ms):
            self.now = begun + end
            self.listener.feed(piece, self.now)
            for _ in range(3):
                await asyncio.sleep(0)
        return self

    @property
    def names(self) -> list[str]:
        return [name for name, *_ in self.told if name != "partial"]

    def when(self, name: str) -> int:
        return next(at for told, at, *_ in self.told if told == name)

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not ready():
                await asyncio.sleep(0.005)


@pytest.fixture
async def customer():
    made: list[Listener] = []

    def make(scribe: Scribe | None = None, **options: Any) -> Customer:
        told: list[tuple[Any, ...]] = []
        box: list[Customer] = []

        def note(name: str) -> Callable[..., None]:
            return lambda *facts: told.append((name, box[0].now, *facts))

        def turn(given: UserTurn) -> None:
            told.append(("turn", box[0].now, given.text))
            box[0].turns.append(given)

        ears = Ears(
            on_turn=turn,
            on_barge_in=note("barge_in"),
            on_speech_started=note("started"),
            on_partial=note("partial"),
            on_dropped=note("dropped"),
            on_fault=note("fault"),
            on_problem=note("problem"),
        )
        scribe = scribe or Scribe()
        listener = Listener(language="en", recognizer=scribe, ears=ears, options=ListenOptions(**options))
        made.append(listener)
        box.append(Customer(listener, scribe, told))
        return box[0]

    yield make
    for listener in made:
        listener.close()


QUESTION_MS = 4_050


def a_question(at: float = 1.0, length: float = 6.5, level_db: float = -60) -> bytes:
    return mixed(length, (at, spoken("question")), (0, room(length, level_db)))


async def test_a_question_becomes_a_turn(customer):
    one = await customer().hear(a_question())
    assert one.names == ["started", "turn"]
    (turn,) = one.turns
    assert turn.text == "When are you open?"
    assert abs(turn.start_ms - 1_000) <= 70
    assert abs(turn.end_ms - 1_000 - QUESTION_MS) <= 150
    assert one.when("started") - 1_000 <= 250


async def test_the_answer_may_begin_soon_after_the_last_word(customer):
    one = await customer().hear(a_question())
    assert one.when("turn") - one.turns[0].end_ms <= 550 + 100


async def test_the_first_syllable_is_kept(customer):
    one = await customer().hear(a_question(at=1.5))
    sound = np.frombuffer(one.turns[0].pcm16k, np.int16)
    begun = int(np.argmax(np.abs(sound) > 800)) / 16
    assert begun >= 200
    assert len(sound) / 16 >= begun + QUESTION_MS


@pytest.mark.parametrize("ms", [10, 20, 100, 1000])
async def test_sound_may_come_in_any_pieces(customer, ms):
    one = await customer().hear(a_question(), ms)
    assert one.names == ["started", "turn"]
    assert abs(one.turns[0].start_ms - 1_000) <= 70


async def test_sound_may_be_cut_in_the_middle_of_a_sample(customer):
    one, pcm = customer(), a_question()
    for begin in range(0, len(pcm), 1_921):
        part = pcm[begin : begin + 1_921]
        one.now = (begin + len(part)) // 32
        one.listener.feed(part, one.now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await one.until(lambda: bool(one.turns))
    assert one.names == ["started", "turn"]


async def test_captions_appear_while_somebody_speaks(customer):
    one = await customer(Scribe("Hello, I would like", "to know your hours.", "All of it.")).hear(
        a_question()
    )
    partials = [at for name, at, *_ in one.told if name == "partial"]
    assert len(partials) >= 3
    assert partials[0] < 1_000 + 1_100
    assert one.turns[0].partial_ms is not None


async def test_captions_can_be_left_out(customer):
    one = await customer(words=RecogniseOptions(partials=False)).hear(a_question())
    # Asked once for each pause: after "Hello", between the sentences, and at the end.
    assert len(one.scribe.asked) == 3
    assert one.names == ["started", "turn"]


@pytest.mark.parametrize(
    "noise",
    [room(6, -50), fan(6), clicks(6), np.concatenate([cough(), np.zeros(40_000, np.float32), cough()])],
    ids=["room", "fan", "keyboard", "cough"],
)
async def test_noise_is_no_turn(customer, noise):
    one = await customer(Scribe("Thank you.")).hear(mixed(6, (0, noise), (0, room(6))))
    assert "turn" not in one.names
    assert "barge_in" not in one.names


@pytest.mark.parametrize("noise", [fan(7, -46), clicks(7, peak=3000)], ids=["fan", "keyboard"])
async def test_a_voice_is_heard_over_noise(customer, noise):
    one = await customer().hear(mixed(7, (0, noise), (2, spoken("question"))))
    assert one.names[-2:] == ["started", "turn"]
    assert abs(one.turns[0].start_ms - 2_000) <= 150


async def test_a_silent_customer_costs_no_detector(customer, monkeypatch):
    calls = []
    monkeypatch.setattr(
        VoiceDetector, "hear", lambda self, sound: calls.append(1) or [0.0] * (len(sound) // 512)
    )
    one = await customer().hear(mixed(10, (0, room(10, -70))))
    assert len(calls) <= 3
    assert one.told == []


async def test_words_that_nobody_said_are_no_turn(customer):
    one = await customer(Scribe("")).hear(a_question())
    assert one.names == ["started", "dropped"]


async def test_a_recogniser_that_fails_is_told(customer):
    fault = AdapterError("no", provider="scribe", retryable=True, code="provider_unreachable")
    one = await customer(Scribe(fault=fault)).hear(a_question())
    assert one.names == ["started", "fault", "dropped"]
    one.scribe.fault = None
    await one.hear(a_question())
    assert one.names[3:] == ["started", "turn"]


async def test_somebody_who_never_stops_gets_an_answer_too(customer):
    one = customer()
    for _ in range(5):
        await one.hear(mixed(8, (0, spoken("avatar_heart"))))
    assert one.names[:2] == ["started", "turn"]
    assert one.turns[0].end_ms - one.turns[0].start_ms <= 30_500


def spoken_to(one: Customer, seconds: float = 6.0, at: float = 1.0, name: str = "avatar_heart") -> np.ndarray:
    """Make the avatar speak; returns its sound."""
    voice = spoken(name)[: int(seconds * 16_000)]
    pcm = np.repeat(np.clip(voice, -32768, 32767), 3).astype("<i2").tobytes()
    one.listener.set_avatar_speaking(True)
    for begin in range(0, len(pcm), 19_200):  # in fragments of 0.2 s
        one.listener.avatar_audio(pcm[begin : begin + 19_200], int(at * 1000) + begin // 96)
    return voice


PLACES = [
    {"delay_ms": 50, "quieter_db": 6},
    {"delay_ms": 180, "quieter_db": 12, "reverberation": 0.35},
    {"delay_ms": 300, "quieter_db": 20, "band_hz": 2500},
]


@pytest.mark.parametrize("place", PLACES)
async def test_an_avatar_does_not_interrupt_itself(customer, place):
    one = customer()
    voice = spoken_to(one)
    await one.hear(mixed(7, (1, loudspeaker(voice, **place)), (0, room(7, -55))))
    one.listener.set_avatar_speaking(False)
    await one.hear(mixed(2, (0, room(2, -55))))
    assert one.told == []


@pytest.mark.parametrize("place", PLACES)
async def test_a_person_interrupts_it_in_time(customer, place):
    one = customer()
    voice = spoken_to(one)
    heard = [(1, loudspeaker(voice, **place)), (3.1, spoken("question")), (0, room(5, -55))]
    await one.hear(mixed(5, *heard), ms=20)
    assert one.names[:2] == ["barge_in", "started"]
    assert 0 < one.when("barge_in") - 3_100 <= 350


async def test_a_person_with_headphones_interrupts_in_time(customer):
    one = customer()
    spoken_to(one)
    await one.hear(mixed(5, (3.1, spoken("interruption")), (0, room(5, -60))), ms=20)
    assert 0 < one.when("barge_in") - 3_100 <= 350


@pytest.mark.parametrize("noise", [fan(5), clicks(5), cough()], ids=["fan", "keyboard", "cough"])
async def test_noise_does_not_interrupt(customer, noise):
    one = customer()
    spoken_to(one)
    await one.hear(mixed(6, (2, noise), (0, room(6, -60))))
    assert one.told == []


async def test_what_interrupted_becomes_a_turn(customer):
    one = customer(Scribe("Wait, stop please."))
    spoken_to(one)
    await one.hear(mixed(4, (3.1, spoken("interruption")), (0, room(4, -60))))
    one.listener.set_avatar_speaking(False)
    one.listener.avatar_cut(one.now)
    await one.hear(mixed(4, (0, spoken("interruption")[int(0.9 * 16_000) :]), (0, room(4, -60))))
    assert one.names == ["barge_in", "started", "turn"]


async def test_a_pressed_button_makes_one_turn_of_everything(customer):
    one = customer()
    await one.hear(mixed(0.6, (0, room(0.6))))
    one.listener.mic_start()
    await one.hear(mixed(7, (0.5, spoken("interruption")), (4.5, spoken("question_heart")), (0, room(7))))
    assert one.names == ["started"]
    one.listener.mic_stop()
    await one.hear(mixed(0.5, (0, room(0.5))))
    assert one.names == ["started", "turn"]
    assert one.turns[0].start_ms == 600 - 600 % 32


async def test_a_button_pressed_by_mistake_is_no_turn(customer):
    one = customer()
    one.listener.mic_start()
    await one.hear(mixed(1, (0, room(1))))
    one.listener.mic_stop()
    await one.hear(mixed(1, (0, room(1))))
    assert one.names == ["started", "dropped"]


async def test_a_button_pressed_before_the_microphone_is_open_waits_for_it(customer):
    one = customer()
    one.listener.mic_start()
    one.now = 65_000
    await one.hear(mixed(3.5, (0.5, spoken("question_heart"))))
    one.listener.mic_stop()
    await one.hear(mixed(1, (0, room(1))))
    assert one.names == ["started", "turn"]
    assert one.turns[0].start_ms == 65_000
    assert len(one.turns[0].pcm16k) / 32 < 4_000


async def test_a_button_without_a_microphone_lets_go(customer):
    one = customer(missing_ms=50)
    one.listener.mic_start()
    one.listener.mic_stop()
    await one.until(lambda: one.names == ["started", "dropped"])


async def test_a_button_interrupts_the_avatar_at_once(customer):
    one = customer()
    await one.hear(mixed(0.6, (0, room(0.6))))
    spoken_to(one)
    one.listener.mic_start()
    assert one.names == ["barge_in", "started"]


async def test_after_the_button_voices_decide_again(customer):
    one = customer()
    one.listener.mic_start()
    await one.hear(mixed(3.5, (0.5, spoken("question_heart"))))
    one.listener.mic_stop()
    await one.hear(mixed(1, (0, room(1))))
    await one.hear(a_question())
    assert one.names == ["started", "turn", "started", "turn"]


async def test_a_button_let_go_after_the_longest_turn_is_let_go(customer):
    one = customer(rules=TurnRules(longest_turn_ms=5_500))
    one.listener.mic_start()
    await one.hear(mixed(6, (0.5, spoken("question_heart")), (0, room(6, -60))))
    assert one.names == ["started", "turn"]
    one.listener.mic_stop()
    await one.hear(a_question(length=6.2))
    assert one.names == ["started", "turn", "started", "turn"], "silence ends turns again"


async def test_a_turn_ends_when_sound_stops_coming(customer):
    one = customer(missing_ms=100)
    await one.hear(mixed(2, (0.5, spoken("question")))[: 32 * 1_900])
    assert one.names == ["started"]
    await one.until(lambda: bool(one.turns))


async def test_sound_that_pauses_is_silence(customer):
    one = customer()
    await one.hear(mixed(2, (0.5, spoken("question")))[: 32 * 1_900])
    one.now += 5_000
    await one.hear(mixed(3, (0.5, spoken("question_heart"))))
    assert one.names[:3] == ["started", "turn", "started"]
    assert abs(next(t for n, _, t in one.told[1:] if n == "started") - 7_400) <= 150


async def test_sound_of_another_rate_is_refused_once(customer):
    one, pcm = customer(), mixed(0.18, (0, spoken("question")))
    for at in range(0, 9_000, 60):  # three times as fast as time passes
        one.now = at
        one.listener.feed(pcm, at)
        await asyncio.sleep(0)
    problems = [fact for fact in one.told if fact[0] == "problem"]
    assert [fact[2] for fact in problems] == ["microphone_rate"]


async def test_a_recording_given_in_one_go_is_heard(customer):
    one, pcm = customer(), a_question()
    for begin in range(0, len(pcm), 32_000):
        one.listener.feed(pcm[begin : begin + 32_000], 10)
        await asyncio.sleep(0.01)
    await one.until(lambda: bool(one.turns))
    assert one.names == ["started", "turn"]
