"""Recognisers of whole recordings, asked again and again, in time that is not waited for."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from tests.sessions.pipeline.cast import in_virtual_time
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import Hypothesis, Segment, Transcript, joined
from workers.adapters.stt.growing import Growing, Growth

BYTES_PER_MS = 32


def voice(ms: int, loud: int = 8_000) -> bytes:
    return (np.sin(np.arange(16 * ms) / 10) * loud).astype("<i2").tobytes()


class Ears(Growing):
    """Hears how many tenths of a second the recording has; takes `seconds` for it."""

    provider = "ears"

    def __init__(self, seconds: float = 0.1, growth: Growth | None = None) -> None:
        self.seconds = seconds
        self.growth = growth or Growth()
        self.asked: list[int] = []
        self.running = self.most = self.cancelled = 0
        self.faults: list[AdapterError | None] = []

    async def listen(self, audio: bytes, *, language: str = "") -> Transcript:
        self.asked.append((len(audio) - 44) // BYTES_PER_MS)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.faults and (fault := self.faults.pop(0)):
            raise fault
        return self.answer((len(audio) - 44) // BYTES_PER_MS, language)

    def answer(self, ms: int, language: str) -> Transcript:
        return Transcript(f"{language}{ms // 100}")


async def spoken(*parts: bytes, step_ms: int = 100) -> AsyncIterator[bytes]:
    """Sound as fast as somebody speaks it; an empty part is a pause that was noticed."""
    for part in parts:
        if not part:
            yield b""
        for begin in range(0, len(part), step_ms * BYTES_PER_MS):
            piece = part[begin : begin + step_ms * BYTES_PER_MS]
            await asyncio.sleep(len(piece) / BYTES_PER_MS / 1000)
            yield piece


async def heard(ears: Ears, *parts: bytes) -> list[Hypothesis]:
    return [hypothesis async for hypothesis in ears.hear(spoken(*parts), language="en")]


@in_virtual_time
async def test_partial_words_come_while_somebody_speaks_and_final_ones_at_the_end():
    told = await heard(ears := Ears(), voice(3_000))
    assert [h.final for h in told] == [False] * (len(told) - 1) + [True]
    assert len(told) >= 3
    assert told[-1] == Hypothesis("en30", True, 0, 3_000)
    assert {h.start_ms for h in told} == {0}
    assert ears.most == 1


@in_virtual_time
async def test_slow_recognisers_are_asked_less_often():
    quick, slow = Ears(0.05), Ears(1.0)
    await heard(quick, voice(10_000))
    await heard(slow, voice(10_000))
    assert len(slow.asked) <= 4 < len(quick.asked)
    assert slow.most == 1


@in_virtual_time
async def test_captions_of_many_customers_are_asked_for_one_after_another():
    ears = Ears(0.5)
    told = await asyncio.gather(*(heard(ears, voice(4_000)) for _ in range(5)))
    assert [each[-1].text for each in told] == ["en40"] * 5
    before = [ms for ms in ears.asked if ms < 4_000]
    assert len(before) <= 8, "one at a time"
    assert ears.most == 5, "but what was said is asked at once"


@in_virtual_time
async def test_the_question_of_a_pause_is_the_last_one():
    told = await heard(ears := Ears(0.3), voice(1_500), b"", voice(600, loud=60))
    assert ears.asked[-1] == 1_500
    assert told[-1] == Hypothesis("en15", True, 0, 2_100)


@in_virtual_time
async def test_words_after_a_pause_are_asked_about_again():
    told = await heard(ears := Ears(0.3), voice(1_500), b"", voice(600))
    assert ears.asked[-1] == 2_100
    assert told[-1].text == "en21"


@in_virtual_time
async def test_long_sound_is_committed_piece_by_piece_where_it_is_quiet():
    growth = Growth(longest_ms=5_000, cut_within_ms=3_000)
    told = await heard(
        ears := Ears(0.1, growth),
        voice(3_300),
        voice(400, loud=20),
        voice(3_300),
        voice(400, loud=20),
        voice(2_900),
    )
    finals = [h for h in told if h.final]
    assert max(ears.asked) <= 5_100
    assert len(finals) == 3
    assert finals[0].start_ms == 0
    assert finals[-1].end_ms == 10_300
    assert 3_300 <= finals[0].end_ms <= 3_700
    assert [a.end_ms for a in finals[:-1]] == [b.start_ms for b in finals[1:]]


@in_virtual_time
async def test_sentences_have_their_times():
    class Segmented(Ears):
        def answer(self, ms: int, language: str) -> Transcript:
            return Transcript("One. Two.", (Segment(100, 900, "One."), Segment(1_000, 9_000, " Two.")))

    finals = [h for h in await heard(Segmented(), voice(2_000)) if h.final]
    assert finals == [Hypothesis("One.", True, 100, 900), Hypothesis("Two.", True, 1_000, 2_000)]


@in_virtual_time
async def test_silence_is_no_words():
    class Deaf(Ears):
        def answer(self, ms: int, language: str) -> Transcript:
            return Transcript("")

    assert await heard(Deaf(), voice(2_000)) == []
    assert await heard(Deaf()) == []


@in_virtual_time
async def test_a_question_that_fails_is_asked_again():
    fault = AdapterError("no", provider="ears", retryable=True)
    ears = Ears()
    ears.faults = [fault, fault]
    assert (await heard(ears, voice(2_000)))[-1].text == "en20"


@in_virtual_time
async def test_the_last_question_that_fails_is_told():
    ears = Ears()
    ears.faults = [AdapterError("no", provider="ears", retryable=True)] * 99
    with pytest.raises(AdapterError):
        await heard(ears, voice(2_000))


@in_virtual_time
async def test_a_refusal_is_told_at_once():
    ears = Ears()
    ears.faults = [AdapterError("no", provider="ears", retryable=False)]
    with pytest.raises(AdapterError):
        await heard(ears, voice(20_000))
    assert len(ears.asked) == 1


@in_virtual_time
async def test_who_stops_listening_ends_the_question():
    ears = Ears(5.0)
    hearing = ears.hear(spoken(voice(20_000)))
    waiting = asyncio.ensure_future(anext(hearing))
    await asyncio.sleep(2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await hearing.aclose()
    assert (ears.running, ears.cancelled) == (0, 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_samples_stay_whole_however_the_sound_is_cut():
    told = [h async for h in Ears().hear(spoken(voice(1_000)[:-1]), language="")]
    assert told[-1].final


@pytest.mark.parametrize(
    ("sentences", "text"),
    [
        (["When are you", "open? ", "", " I ask."], "When are you open? I ask."),
        (["你好。", "请问几点开门？"], "你好。请问几点开门？"),  # noqa: RUF001 - Chinese marks
        (["我要", "Parley"], "我要 Parley"),
    ],
)
def test_sentences_are_joined_as_their_language_is_written(sentences, text):
    assert joined(sentences) == text
