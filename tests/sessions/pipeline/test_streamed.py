"""Turns whose words come from a stream."""

import asyncio
from typing import Any

import pytest

from sessions.pipeline.listen import Ears, Listener, ListenOptions, UserTurn
from sessions.pipeline.recognise import RecogniseOptions
from sessions.pipeline.streamed import StreamedWords
from sessions.pipeline.turns import Turn
from tests.sessions.pipeline.cast import in_virtual_time
from tests.support.hearing import Scribe, mixed, pieces, room, spoken
from tests.support.recognisers import Line, Streamed
from workers.adapters import breaker
from workers.adapters.errors import AdapterError
from workers.adapters.stt.chain import FallbackRecognizer

LINES = [Line(300, 1_500, "When are you open?"), Line(1_700, 2_900, "I would like to come.")]
BOTH = "When are you open? I would like to come."


@pytest.fixture(autouse=True)
def nobody_failed_before():
    breaker.reset()


def fault(*, retryable: bool = True) -> AdapterError:
    return AdapterError("no", provider="x", retryable=retryable, code="provider_truncated")


class Speaker:
    """Somebody who speaks for as long as the lines last; sound comes as fast as time."""

    def __init__(self, recognizer: Any, **options: Any) -> None:
        self.told: list[str] = []
        self.words = StreamedWords(recognizer, "en", RecogniseOptions(**options), self.told.append)
        self.turn = Turn(0, 0)
        self.now = 0

    async def speak(self, until_ms: int, *, voice: bool = True) -> None:
        while self.now < until_ms:
            await asyncio.sleep(0.1)
            self.now += 100
            self.words.add(b"\x00\x10" * 1_600)
            if voice:
                self.turn.voice_end_ms = self.now
                self.turn.voiced_ms += 100
                self.turn.certainty += 0.9 * 100 / 32
                self.words.grew(self.turn, self.now)

    async def final(self) -> Any:
        return await self.words.final(self.turn, self.now)


@in_virtual_time
async def test_words_come_while_somebody_speaks():
    one = Speaker(stream := Streamed("s", LINES))
    await one.speak(2_900)
    assert one.told[:3] == ["When", "When are", "When are you"]
    assert one.words.first_ms is not None
    assert 500 <= one.words.first_ms <= 800
    final = await one.final()
    assert (final.text, final.provider) == (BOTH, "s")
    assert [s.text for s in final.sentences] == [line.text for line in LINES]
    assert stream.languages == ["en"]


@in_virtual_time
async def test_what_is_certain_is_not_waited_for():
    one = Speaker(stream := Streamed("s", LINES, silence_ms=400))
    stream.final_seconds = 3.0
    await one.speak(2_900)
    one.words.paused(one.turn, one.now)
    await one.speak(3_500, voice=False)
    final = await one.final()
    assert (final.text, final.took_ms) == (BOTH, 0.0)
    assert stream.running == 1, "it ends behind the turn, so that its connection can be kept"
    await asyncio.sleep(3.5)
    assert (stream.running, stream.cancelled, stream.pauses) == (0, 0, 1)


@in_virtual_time
async def test_what_is_not_certain_is_waited_for():
    one = Speaker(stream := Streamed("s", LINES, silence_ms=1_300))
    stream.final_seconds = 0.2
    await one.speak(2_900)
    await one.speak(3_500, voice=False)
    final = await one.final()
    assert final.text == BOTH
    assert 200 <= final.took_ms <= 250


@in_virtual_time
async def test_a_stream_that_does_not_end_is_left():
    one = Speaker(stream := Streamed("s", LINES, silence_ms=400))
    stream.final_seconds = 60.0
    await one.speak(3_500)
    one.words.leave()
    assert one.words.lingering
    await asyncio.sleep(6)
    assert (stream.running, stream.cancelled) == (0, 1)


@in_virtual_time
async def test_a_session_that_ends_closes_the_stream():
    one = Speaker(stream := Streamed("s", LINES))
    await one.speak(1_000)
    one.words.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (stream.running, stream.cancelled) == (0, 1)


@in_virtual_time
async def test_a_stream_that_broke_early_is_no_loss():
    one = Speaker(stream := Streamed("s", LINES))
    stream.breaks = [(500, fault())]
    await one.speak(2_900)
    final = await one.final()
    assert final.text == BOTH
    assert len(stream.opened) == 2


@in_virtual_time
async def test_a_stream_that_was_refused_is_told():
    one = Speaker(stream := Streamed("s", LINES))
    stream.breaks = [(500, fault(retryable=False))]
    await one.speak(2_900)
    with pytest.raises(AdapterError):
        await one.final()
    assert len(stream.opened) == 1


@in_virtual_time
async def test_a_stream_that_stands_still_is_not_waited_for_for_ever():
    one = Speaker(stream := Streamed("s", LINES), recognition_seconds=2.0)
    stream.breaks = [(500, None)]
    await one.speak(2_900)
    with pytest.raises(AdapterError) as caught:
        await one.final()
    assert caught.value.code == "provider_timeout"
    await asyncio.sleep(6)
    assert stream.running == 0


@in_virtual_time
async def test_another_recogniser_goes_on_in_the_middle_of_a_turn():
    first, second = Streamed("first", LINES), Streamed("second", LINES)
    first.breaks = [(2_200, fault())]
    second.skipped_ms = 1_500
    one = Speaker(FallbackRecognizer([first, second]))
    await one.speak(3_500)
    final = await one.final()
    assert (final.text, final.provider) == (BOTH, "second")
    assert [s.provider for s in final.sentences] == ["first", "second"]


@in_virtual_time
async def test_words_that_nobody_said_are_not_told():
    stream = Streamed("s", [Line(0, 200, "Thank you.")])
    one = Speaker(stream)
    await one.speak(200)
    await one.speak(900, voice=False)
    assert (await one.final()).text == ""
    assert one.told == []


@in_virtual_time
async def test_captions_can_be_left_out_of_streams():
    one = Speaker(Streamed("s", LINES), partials=False)
    await one.speak(2_500)
    assert one.told == ["When are you open?"], "what ends a sentence still tells whether somebody is done"


# --- With a microphone -------------------------------------------------------------------------------

QUESTION = [Line(300, 1_300, "Hello there."), Line(1_500, 4_300, "When are you open on Sundays?")]


class Call:
    """A listener with a stream, and all that it told."""

    def __init__(self, recognizer: Any, **options: Any) -> None:
        self.partials: list[str] = []
        self.names: list[str] = []
        self.turns: list[UserTurn] = []
        self.now = 0
        ears = Ears(
            on_turn=lambda turn: (self.names.append("turn"), self.turns.append(turn)),
            on_barge_in=lambda _: self.names.append("barge_in"),
            on_speech_started=lambda _: self.names.append("started"),
            on_partial=self.partials.append,
            on_dropped=lambda: self.names.append("dropped"),
            on_fault=lambda _: self.names.append("fault"),
        )
        self.listener = Listener(
            language="en-US", recognizer=recognizer, ears=ears, options=ListenOptions(**options)
        )

    async def hear(self, pcm: bytes) -> None:
        begun = self.now
        for piece, end in pieces(pcm):
            self.now = begun + end
            self.listener.feed(piece, self.now)
            for _ in range(8):
                await asyncio.sleep(0)

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


def a_question(length: float = 6.5) -> bytes:
    return mixed(length, (1.0, spoken("question")), (0, room(length)))


async def test_a_question_becomes_a_turn():
    call = Call(stream := Streamed("s", QUESTION))
    await call.hear(a_question())
    await call.settle()
    assert call.names == ["started", "turn"]
    (turn,) = call.turns
    assert turn.text == "Hello there. When are you open on Sundays?"
    assert turn.provider == "s"
    assert turn.start_ms <= turn.sentences[0].start_ms < turn.sentences[1].start_ms
    assert turn.sentences[1].end_ms <= turn.end_ms
    assert turn.sentences[1].words[0].start_ms >= turn.sentences[1].start_ms
    assert call.partials[0] == "Hello"
    # What the stream was given is the turn's sound, from before it was noticed.
    assert stream.opened[0] == len(turn.pcm16k) // 32
    assert stream.running == 0
    call.listener.close()


async def test_each_turn_has_a_stream_and_they_are_one_after_another():
    call = Call(stream := Streamed("s", QUESTION))
    for _ in range(3):
        await call.hear(a_question())
    await call.settle()
    assert call.names == ["started", "turn"] * 3
    assert (len(stream.opened), stream.running, stream.cancelled) == (3, 0, 0)
    call.listener.close()


async def test_a_pressed_button_is_heard_by_the_stream():
    lines = [Line(700, 2_000, "Wait a moment."), Line(4_600, 6_000, "When do you open?")]
    call = Call(stream := Streamed("s", lines))
    await call.hear(mixed(0.6, (0, room(0.6))))
    call.listener.mic_start()
    await call.hear(mixed(7, (0.5, spoken("interruption")), (4.5, spoken("question_heart")), (0, room(7))))
    assert call.names == ["started"]
    call.listener.mic_stop()
    await call.hear(mixed(0.5, (0, room(0.5))))
    await call.settle()
    assert call.names == ["started", "turn"]
    assert call.turns[0].text == "Wait a moment. When do you open?"
    assert stream.running == 0
    call.listener.close()


async def test_a_button_pressed_for_nothing_lets_the_stream_end():
    call = Call(stream := Streamed("s", []))
    call.listener.mic_start()
    await call.hear(mixed(1, (0, room(1))))
    call.listener.mic_stop()
    await call.hear(mixed(1, (0, room(1))))
    await call.settle()
    assert call.names == ["started", "dropped"]
    assert (stream.running, stream.cancelled) == (0, 0)
    call.listener.close()


async def test_who_interrupts_is_heard_by_a_stream():
    call = Call(Streamed("s", [Line(300, 900, "Stop please.")]))
    call.listener.set_avatar_speaking(True)
    await call.hear(mixed(3.5, (1, spoken("interruption")), (0, room(3.5))))
    call.listener.set_avatar_speaking(False)
    await call.hear(mixed(2, (0, room(2))))
    await call.settle()
    assert call.names == ["barge_in", "started", "turn"]
    assert call.turns[0].text == "Stop please."
    call.listener.close()


async def test_nothing_stays_open_when_the_session_ends():
    call = Call(stream := Streamed("s", QUESTION))
    await call.hear(a_question()[: 32 * 3_000])
    assert stream.running == 1
    call.listener.close()
    await call.settle()
    assert (stream.running, stream.cancelled) == (0, 1)


async def test_a_stream_that_fails_for_good_is_told():
    call = Call(stream := Streamed("s", QUESTION))
    stream.breaks = [(500, fault(retryable=False))]
    await call.hear(a_question())
    await call.settle()
    assert call.names == ["started", "fault", "dropped"]
    call.listener.close()


async def test_a_turn_begun_while_streams_are_away_is_heard_as_a_recording():
    breaker.breaker("stt", "s").failed(
        AdapterError("no", provider="s", retryable=False, code="provider_unauthorized")
    )
    call = Call(FallbackRecognizer([Streamed("s", QUESTION), Scribe("When are you open?")]))
    await call.hear(a_question())
    await call.settle()
    assert [(turn.text, turn.provider) for turn in call.turns] == [("When are you open?", "scribe")]
    call.listener.close()
