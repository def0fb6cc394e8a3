import asyncio

import pytest

from sessions.pipeline.recognise import RecogniseOptions, TurnWords, believed, wav
from sessions.pipeline.turns import Turn
from tests.support.hearing import Scribe
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import Transcript


@pytest.mark.parametrize(
    "text",
    [
        "When are you open?",
        "No.",
        "Can I return the shoes that I bought last week?",
        "営業時間を教えてください。",
    ],
)
def test_what_was_said_is_believed(text):
    assert believed(text, voiced_ms=300 + 60 * len(text), confidence=0.9) == text


@pytest.mark.parametrize("text", ["", " ", "...", "[BLANK_AUDIO]", "(coughs)", "*sighs*", "♪♪", "[Music] ."])
def test_what_is_no_speech_is_not(text):
    assert believed(text, voiced_ms=2_000, confidence=0.95) == ""


@pytest.mark.parametrize("text", ["Thank you.", "Thanks for watching!", "you", "Bye.", "Okay."])
def test_what_recognisers_imagine_needs_a_voice(text):
    assert believed(text, voiced_ms=192, confidence=0.9) == ""
    assert believed(text, voiced_ms=600, confidence=0.6) == ""
    assert believed(text, voiced_ms=600, confidence=0.9) == text


def test_nobody_speaks_that_fast():
    text = "The quick brown fox jumps over the lazy dog and then comes back again."
    assert believed(text, voiced_ms=300, confidence=0.9) == ""


def test_words_that_come_again_and_again_are_imagined():
    assert (
        believed("the the the the the the the the the the the the the", voiced_ms=9_000, confidence=0.9) == ""
    )


def test_noises_are_left_out_of_what_was_said():
    assert (
        believed("[cough] When are you open? (laughs)", voiced_ms=2_000, confidence=0.9)
        == "When are you open?"
    )


def test_a_wav_can_be_read():
    import io
    import wave

    with wave.open(io.BytesIO(wav(b"\x01\x00\x02\x00"))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.readframes(9) == b"\x01\x00\x02\x00"


class Slow(Scribe):
    """Answers when `gate` is opened."""

    def __init__(self, *texts: str) -> None:
        super().__init__(*texts)
        self.gate = asyncio.Event()
        self.cancelled = 0

    async def listen(self, audio: bytes, *, language: str = "") -> Transcript:
        self.asked.append((len(audio) - 44) // 32)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Transcript(self.texts[0])


def turn(voice_end_ms: int, voiced_ms: int = 1_000) -> Turn:
    return Turn(0, voice_end_ms, voiced_ms=voiced_ms, certainty=voiced_ms / 32 * 0.9)


def words_of(recognizer: Scribe, **options: float) -> tuple[TurnWords, list[str]]:
    told: list[str] = []
    words = TurnWords(recognizer, "en-US", RecogniseOptions(**options), told.append)
    words.sound += bytes(32_000)
    return words, told


async def test_the_question_of_a_pause_answers_for_the_whole_turn():
    scribe = Scribe("When are you open?")
    words, told = words_of(scribe)
    words.paused(turn(1_000), 1_256)
    final = await words.final(turn(1_000), 1_700)
    assert final.text == "When are you open?"
    assert scribe.asked == [1_000]
    assert scribe.languages == ["en-US"]
    assert told == ["When are you open?"]


async def test_what_nobody_can_store_is_not_understood():
    words, told = words_of(Scribe("When\0 are you \ud83dopen?"))
    words.paused(turn(1_000), 1_256)
    assert (await words.final(turn(1_000), 1_700)).text == "When are you open?"
    assert told == ["When are you open?"]


async def test_more_voice_after_the_pause_is_asked_about_again():
    scribe = Scribe("When are", "When are you open?")
    words, _ = words_of(scribe)
    words.paused(turn(1_000), 1_256)
    await asyncio.sleep(0)
    words.sound += bytes(32_000)
    assert (await words.final(turn(2_000), 2_700)).text == "When are you open?"
    assert scribe.asked == [1_000, 2_000]


async def test_growing_turns_are_asked_about_now_and_then():
    scribe = Scribe("When are you open?")
    words, told = words_of(scribe)
    for now in range(32, 3_000, 32):
        words.grew(turn(now, voiced_ms=now), now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert 3 <= len(scribe.asked) <= 4
    assert len(told) == len(scribe.asked)
    assert words.first_ms is not None


async def test_one_question_is_asked_at_a_time():
    slow = Slow("When are you open?")
    words, _ = words_of(slow)
    for now in range(32, 6_000, 32):
        words.grew(turn(now, voiced_ms=now), now)
        await asyncio.sleep(0)
    assert len(slow.asked) == 1
    words.cancel()
    await asyncio.sleep(0)


async def test_captions_of_many_customers_are_asked_for_one_after_another():
    slow = Slow("When are you open?")
    customers = [words_of(slow)[0] for _ in range(5)]
    for words in customers:
        words.grew(turn(1_000), 1_000)
    await asyncio.sleep(0)
    assert len(slow.asked) == 1
    # What a turn was is asked at once, whoever waits for a caption.
    finals = [asyncio.create_task(words.final(turn(1_000), 1_500)) for words in customers]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(slow.asked) == 5
    slow.gate.set()
    assert {final.text for final in await asyncio.gather(*finals)} == {"When are you open?"}


async def test_a_recogniser_that_does_not_answer_is_not_waited_for():
    words, _ = words_of(Slow(), recognition_seconds=0.02)
    with pytest.raises(AdapterError) as caught:
        await words.final(turn(1_000), 1_500)
    assert caught.value.code == "provider_timeout"


async def test_a_partial_transcript_that_fails_is_no_loss():
    fault = AdapterError("no", provider="scribe", retryable=True)
    scribe = Scribe("When are you open?", fault=fault)
    words, told = words_of(scribe)
    words.grew(turn(1_000), 1_000)
    await asyncio.sleep(0.01)
    scribe.fault = None
    assert (await words.final(turn(1_200), 1_500)).text == "When are you open?"
    assert told == ["When are you open?"]


async def test_words_that_nobody_said_are_not_told():
    words, told = words_of(Scribe("Thank you."))
    weak = Turn(0, 300, voiced_ms=192, certainty=192 / 32 * 0.7)
    assert (await words.final(weak, 1_000)).text == ""
    assert told == []
