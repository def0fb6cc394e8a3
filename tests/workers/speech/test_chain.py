"""Several voices as one."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from dataclasses import replace

import pytest

from workers.adapters import breaker, catalogue, health
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import PcmChunk, Speaker, SpeechEvent, SpeechRequest, Timings, Word
from workers.speech import chain, voices
from workers.speech.chain import FallbackSynthesizer
from workers.speech.voices import Voice

SOUND = PcmChunk(b"\1\0" * 240, 24_000)
WORDS = Timings((), (Word("Hello", 0, 10),))
REQUEST = SpeechRequest("[Parley](/ˈpɑːrli/) speaks.", "ann", "en-US", 0.9, "live")


def voice(name: str, *, ipa: bool = False, tempo: float = 1.0, gain_db: float = 0.0) -> Voice:
    """Each voice of these tests has a provider of its own, of the same name."""
    entry = {
        "provider_voice": name,
        "name": name,
        "language": "en-GB",
        "gender": "female",
        "understands_ipa": ipa,
        "tempo": tempo,
        "gain_db": gain_db,
    }
    return replace(voices.made(catalogue.providers()["local"], entry), provider=name)


class Actor:
    """A synthesizer that does what its part says: events, errors, or to wait for ever."""

    provider = "actor"

    def __init__(self, *parts: object) -> None:
        self.parts, self.requests, self.closed = parts, list[SpeechRequest](), 0

    def synthesize(self, request: SpeechRequest) -> Generator[SpeechEvent, None, None]:
        raise NotImplementedError

    async def stream(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        self.requests.append(request)
        try:
            for part in self.parts:
                if isinstance(part, Exception):
                    raise part
                if part == "wait":
                    await asyncio.Event().wait()
                yield part  # type: ignore[misc]
        finally:
            self.closed += 1


def fault(code: str = "provider_unreachable", *, retryable: bool = True) -> AdapterError:
    return AdapterError("It failed.", provider="actor", retryable=retryable, code=code)


def speakers(*parts: tuple[str, Actor]) -> list[tuple[Voice, Actor]]:
    return [(voice(name), actor) for name, actor in parts]


@pytest.fixture(autouse=True)
def anew():
    breaker.reset()
    health.reset()
    yield
    breaker.reset()
    health.reset()


async def said(synthesizer: FallbackSynthesizer, request: SpeechRequest = REQUEST) -> list[SpeechEvent]:
    return [event async for event in synthesizer.stream(request)]


async def collected(synthesizer: FallbackSynthesizer, events: list[SpeechEvent]) -> None:
    async for event in synthesizer.stream(REQUEST):
        events.append(event)  # noqa: PERF401 - what came before an error counts


def told() -> dict[str, tuple[int, int, str]]:
    return {one.provider: (one.served, one.failed, one.last_error_code) for one in health.snapshot()}


async def test_the_voice_that_was_asked_speaks_unannounced():
    ann = Actor(SOUND, WORDS)
    assert await said(FallbackSynthesizer(speakers(("ann", ann)))) == [SOUND, WORDS]
    assert ann.requests == [REQUEST]
    assert told() == {"ann": (1, 0, "")}


async def test_another_voice_is_announced_before_its_first_sound():
    ann, ben = Actor(fault()), Actor(SOUND)
    pair = speakers(("ann", ann), ("ben", ben))
    pair[1] = (voice("ben", gain_db=3.5), ben)
    assert await said(FallbackSynthesizer(pair)) == [Speaker("ben", 3.5), SOUND]
    assert told() == {"ann": (0, 1, "provider_unreachable"), "ben": (1, 0, "")}


async def test_another_voice_is_asked_in_its_own_way():
    ben = Actor(SOUND)
    ann_voice = voice("ann", ipa=True, tempo=0.9)
    ben_voice = voice("ben", tempo=1.1)
    await said(FallbackSynthesizer([(ann_voice, Actor(fault())), (ben_voice, ben)]))
    assert ben.requests == [SpeechRequest("Parley speaks.", "ben", "en-GB", 1.1, "live")]


async def test_a_voice_that_was_asked_for_but_is_not_there_sets_the_pace():
    ben = Actor(SOUND)
    asked = voice("ann", tempo=0.9)
    ben_voice = voice("ben", gain_db=1.0)
    events = await said(FallbackSynthesizer([(ben_voice, ben)], asked=asked))
    assert events[0] == Speaker("ben", 1.0)
    assert ben.requests[0].speed == 1.0


@pytest.mark.parametrize("code", ["voice_not_found", "provider_unauthorized", "provider_quota"])
async def test_a_lasting_fault_goes_to_the_next_voice_as_well(code: str):
    pair = speakers(("ann", Actor(fault(code, retryable=False))), ("ben", Actor(SOUND)))
    assert SOUND in await said(FallbackSynthesizer(pair))


@pytest.mark.parametrize("begun", [SOUND, WORDS])
async def test_nothing_is_said_twice(begun: SpeechEvent):
    ben = Actor(SOUND)
    synthesizer = FallbackSynthesizer(
        speakers(("ann", Actor(begun, fault("provider_truncated"))), ("ben", ben))
    )
    events: list[SpeechEvent] = []
    with pytest.raises(AdapterError) as caught:
        await collected(synthesizer, events)
    assert (events, ben.requests) == ([begun], [])
    assert caught.value.code == "provider_truncated"
    assert told()["ann"][1] == 1


async def test_who_listens_does_not_wait_long_for_a_silent_voice():
    ann = Actor("wait")
    pair = speakers(("ann", ann), ("ben", Actor(SOUND)))
    assert SOUND in await said(FallbackSynthesizer(pair, first_sound_seconds=0.05))
    assert ann.closed == 1
    assert told()["ann"] == (0, 1, "provider_timeout")


async def test_times_of_words_alone_are_no_sound():
    pair = speakers(("ann", Actor(WORDS, "wait")), ("ben", Actor(SOUND)))
    with pytest.raises(AdapterError) as caught:
        await said(FallbackSynthesizer(pair, first_sound_seconds=0.05))
    assert caught.value.code == "provider_timeout"


async def test_the_last_voice_gets_all_the_time_it_needs():
    class Slow(Actor):
        async def stream(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
            await asyncio.sleep(0.1)
            yield SOUND

    assert await said(FallbackSynthesizer(speakers(("ann", Slow())), first_sound_seconds=0.01)) == [SOUND]


async def test_an_answer_without_sound_is_a_fault():
    pair = speakers(("ann", Actor()), ("ben", Actor(SOUND)))
    assert SOUND in await said(FallbackSynthesizer(pair))
    assert told()["ann"] == (0, 1, "no_audio")


async def test_who_fails_again_and_again_is_passed_over_for_a_while():
    ann, ben = Actor(fault()), Actor(SOUND)
    synthesizer = FallbackSynthesizer(speakers(("ann", ann), ("ben", ben)))
    for _ in range(5):
        await said(synthesizer)
    assert (len(ann.requests), len(ben.requests)) == (breaker.FAULTS, 5)


async def test_the_last_resort_is_tried_even_so():
    ann, ben = Actor(fault()), Actor(fault("provider_busy"))
    synthesizer = FallbackSynthesizer(speakers(("ann", ann), ("ben", ben)))
    for _ in range(5):
        with pytest.raises(AdapterError):
            await said(synthesizer)
    assert len(ben.requests) == 5
    assert len(ann.requests) == breaker.FAULTS


async def test_the_error_is_the_one_after_which_another_try_may_help():
    pair = speakers(
        ("ann", Actor(fault("provider_busy"))), ("ben", Actor(fault("voice_not_found", retryable=False)))
    )
    with pytest.raises(AdapterError) as caught:
        await said(FallbackSynthesizer(pair))
    assert caught.value.code == "provider_busy"
    pair = speakers(
        ("cat", Actor(fault("provider_rejected", retryable=False))),
        ("dan", Actor(fault("x", retryable=False))),
    )
    with pytest.raises(AdapterError) as caught:
        await said(FallbackSynthesizer(pair))
    assert caught.value.code == "provider_rejected"


async def test_leaving_closes_the_voice_and_is_no_fault():
    ann = Actor(SOUND, "wait")
    async with aclosing(FallbackSynthesizer(speakers(("ann", ann))).stream(REQUEST)) as events:
        await anext(events)
    assert ann.closed == 1
    assert told() == {"ann": (1, 0, "")}


async def test_who_is_left_after_a_long_silence_has_failed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chain, "SLOW_SECONDS", 0.0)
    ann = Actor("wait")
    task = asyncio.create_task(said(FallbackSynthesizer(speakers(("ann", ann)))))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert ann.closed == 1
    assert told()["ann"] == (0, 1, "provider_timeout")


def test_code_that_blocks_hears_the_same():
    ben = Actor(SOUND, WORDS)
    synthesizer = FallbackSynthesizer(speakers(("ann", Actor(fault())), ("ben", ben)))
    with closing(synthesizer.synthesize(REQUEST)) as events:
        assert list(events) == [Speaker("ben", 0.0), SOUND, WORDS]


def test_somebody_has_to_speak():
    with pytest.raises(ValueError, match="nobody"):
        FallbackSynthesizer([])


async def test_what_no_adapter_foresaw_is_a_fault_like_any_other(caplog: pytest.LogCaptureFixture):
    ann, ben = Actor(RecursionError("about Parley speaks.")), Actor(SOUND)
    events = await said(FallbackSynthesizer(speakers(("ann", ann), ("ben", ben))))
    assert events == [Speaker("ben", 0.0), SOUND]
    assert told()["ann"] == (0, 1, "provider_error")
    assert "RecursionError" in caplog.text
    assert "Parley speaks" not in caplog.text


async def test_what_no_adapter_foresaw_after_the_first_sound_is_told_without_its_words():
    ann = Actor(SOUND, OverflowError("about Parley speaks."))
    with pytest.raises(AdapterError) as caught:
        await said(FallbackSynthesizer(speakers(("ann", ann), ("ben", Actor(SOUND)))))
    assert (caught.value.code, caught.value.provider, str(caught.value).count("Parley")) == (
        "provider_error",
        "ann",
        0,
    )
