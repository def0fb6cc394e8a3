"""What makes an adapter of speech easy to write."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from workers.adapters import retry
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import (
    Alignment,
    EvenPcm,
    PcmChunk,
    SpeechEvent,
    SpeechRequest,
    Streaming,
    Timings,
    Word,
    words_of,
)

HELLO = SpeechRequest("Hello.", "ann", "en")
SOUND = PcmChunk(b"\1\0", 24_000)


class Scripted(Streaming):
    """Each attempt plays the next list of events."""

    provider = "scripted"

    def __init__(self, *attempts: list[SpeechEvent | AdapterError]) -> None:
        self.attempts, self.begun, self.ended = list(attempts), 0, 0

    async def once(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        self.begun += 1
        try:
            for event in self.attempts.pop(0):
                if isinstance(event, AdapterError):
                    raise event
                yield event
                await asyncio.sleep(0)
        finally:
            self.ended += 1


def fault(*, retryable: bool = True, after: float = 0.0) -> AdapterError:
    error = AdapterError("no", provider="", retryable=retryable, code="provider_busy")
    error.retry_after = after
    return error


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    asleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds:
            slept.append(seconds)
        await asleep(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return slept


async def test_it_waits_longer_each_time_it_is_tried_again(pauses: list[float]):
    speaker = Scripted([fault()], [fault()], [SOUND])
    assert [event async for event in speaker.stream(HELLO)] == [SOUND]
    assert pauses == [retry.BACKOFF_SECONDS, 2 * retry.BACKOFF_SECONDS]
    assert speaker.ended == 3


async def test_it_waits_as_long_as_the_provider_asks(pauses: list[float]):
    speaker = Scripted([fault(after=3.0)], [SOUND])
    assert [event async for event in speaker.stream(HELLO)] == [SOUND]
    assert pauses == [3.0]


async def test_it_gives_up_in_the_end_and_names_itself(pauses: list[float]):
    speaker = Scripted(*[[fault()]] * 5)
    with pytest.raises(AdapterError) as caught:
        _ = [event async for event in speaker.stream(HELLO)]
    assert (speaker.begun, caught.value.provider) == (retry.ATTEMPTS, "scripted")
    assert len(pauses) == retry.ATTEMPTS - 1


async def test_what_was_begun_is_not_begun_again():
    speaker = Scripted([SOUND, fault()], [SOUND])
    with pytest.raises(AdapterError):
        _ = [event async for event in speaker.stream(HELLO)]
    assert speaker.begun == 1


async def test_a_lasting_fault_is_final():
    speaker = Scripted([fault(retryable=False)], [SOUND])
    with pytest.raises(AdapterError):
        _ = [event async for event in speaker.stream(HELLO)]
    assert speaker.begun == 1


async def test_an_answer_without_sound_is_tried_again(pauses: list[float]):
    speaker = Scripted([], [SOUND])
    assert [event async for event in speaker.stream(HELLO)] == [SOUND]
    assert len(pauses) == 1
    silent = Scripted([], [], [])
    with pytest.raises(AdapterError) as caught:
        _ = [event async for event in silent.stream(HELLO)]
    assert (caught.value.code, caught.value.provider) == ("no_audio", "scripted")


async def test_leaving_ends_the_attempt():
    speaker = Scripted([SOUND, SOUND])
    events = speaker.stream(HELLO)
    await anext(events)
    await events.aclose()
    assert speaker.ended == 1


def test_code_that_blocks_gets_the_same():
    speaker = Scripted([fault()], [SOUND, SOUND])
    assert list(speaker.synthesize(HELLO)) == [SOUND, SOUND]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
def test_samples_stay_whole_however_they_are_cut(size: int):
    even, pcm = EvenPcm(16_000), bytes(range(50))
    chunks = [chunk for at in range(0, 50, size) for chunk in even.feed(pcm[at : at + size])]
    assert all(len(chunk.pcm) % 2 == 0 and chunk.sample_rate == 16_000 for chunk in chunks)
    assert b"".join(chunk.pcm for chunk in chunks) == pcm
    assert not even.odd


def test_half_a_sample_at_the_end_is_told():
    even = EvenPcm(16_000)
    assert even.feed(b"\1\2\3") == [PcmChunk(b"\1\2", 16_000)]
    assert even.odd


def test_words_are_made_of_the_times_of_characters():
    text = "Hi  you all "
    starts = list(range(0, 120, 10))
    words = words_of(text, starts, [start + 10 for start in starts])
    assert words == (Word("Hi", 0, 20), Word("you", 40, 70), Word("all", 80, 110))
    assert words_of("", [], []) == ()


def test_a_word_may_be_cut_between_two_messages():
    alignment = Alignment()
    assert alignment.feed("be", [0, 10], [10, 20]) == ()
    assert alignment.feed("gun on", [20, 30, 40, 50, 60, 70], [30, 40, 50, 60, 70, 80]) == (
        Word("begun", 0, 50),
    )
    assert alignment.finish() == (Word("on", 60, 80),)
    assert alignment.finish() == ()


async def test_times_before_the_first_sound_are_told_behind_it_and_forbid_no_other_try(pauses: list[float]):
    words = Timings((), (Word("Hello.", 0, 10),))
    made = Scripted([words, fault()], [words, SOUND, SOUND, words])
    told = [event async for event in made.stream(HELLO)]
    assert told == [SOUND, words, SOUND, words]
    assert (made.begun, made.ended) == (2, 2)
