"""A sentence that is heard while it arrives is the sentence that is heard at once."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from workers.adapters.avatar.base import Phone
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import PcmChunk, Speaker, SpeechEvent, SpeechRequest, Timings, Word
from workers.speech import voices
from workers.speech.leveller import Leveller
from workers.speech.loudness import levelled
from workers.speech.script import Sentence, sentence
from workers.speech.speak import speak_sentence_live
from workers.speech.stream import HELD_SECONDS, Part, speak_sentence_parts

RATE = 24_000
VOICE = voices.list_voices()[0]


def _speech(*stretches: tuple[int, float], rate: int = RATE) -> np.ndarray:
    """Stretches of (ms, amplitude) as int16; the voiced ones buzz."""
    random = np.random.default_rng(7)
    parts = []
    for ms, amplitude in stretches:
        size = rate * ms // 1000
        times = np.arange(size) / rate
        wave = np.sin(2 * np.pi * 180 * times) * (0.7 + 0.3 * np.sin(2 * np.pi * 4 * times))
        parts.append((wave + random.normal(0, 0.05, size)) * amplitude)
    return np.clip(np.concatenate(parts), -32768, 32767).astype(np.int16)


class Tape:
    """A synthesizer that plays back events."""

    provider = "tape"

    def __init__(self, events: Sequence[SpeechEvent | Exception]) -> None:
        self.events, self.closed = events, False
        self.requests: list[SpeechRequest] = []

    def synthesize(self, request):
        raise NotImplementedError

    async def stream(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        self.requests.append(request)
        try:
            for event in self.events:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed = True


def _cut(pcm: np.ndarray, size: int, *then: SpeechEvent, rate: int = RATE) -> list[SpeechEvent]:
    return [*(PcmChunk(pcm[at : at + size].tobytes(), rate) for at in range(0, len(pcm), size)), *then]


def _sentence(text: str = "We are open.") -> Sentence:
    made = sentence(text, "en")
    assert made is not None
    return made


async def _parts(events: Sequence[SpeechEvent | Exception], said: Sentence | None = None) -> list[Part]:
    return [part async for part in speak_sentence_parts(Tape(events), said or _sentence(), VOICE)]


def _joined(parts: Sequence[Part]) -> np.ndarray:
    return np.frombuffer(b"".join(part.pcm for part in parts), np.int16)


TIMES = Timings(
    (Phone("w", 130, 200), Phone("i", 200, 300)),
    (Word("We", 130, 300), Word("are", 300, 500), Word("open.", 500, 900)),
)


@pytest.mark.parametrize("size", [100, 333, 2400, 10**6])
@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
async def test_it_is_what_the_whole_would_be(size, rate):
    pcm = _speech((120, 0), (900, 9000), (150, 0), (400, 20_000), (250, 0), rate=rate)
    events = _cut(pcm, size, TIMES, rate=rate)
    whole = await speak_sentence_live(Tape(events), _sentence(), VOICE)
    parts = await _parts(events)
    streamed, expected = _joined(parts), np.frombuffer(whole.pcm, np.int16)
    # Its ends may lie a few windows apart: the loudest moment is not known yet when it begins.
    assert abs(len(streamed) - len(expected)) <= 480
    shift = _shift(streamed, expected)
    assert abs(shift) <= 480
    inner = slice(2_000, -22_000)
    assert np.abs(np.roll(streamed, shift)[: len(expected)][inner].astype(int) - expected[inner]).max() <= 16


def _shift(streamed: np.ndarray, expected: np.ndarray) -> int:
    """How many samples later the same sound lies in `expected`."""
    probe = streamed[20_000:24_000].astype(float)
    misfit = {by: np.abs(expected[20_000 + by : 24_000 + by] - probe).sum() for by in range(-480, 481)}
    return min(misfit, key=lambda by: misfit[by])


async def test_sound_is_passed_on_before_all_of_it_is_there():
    pcm = _speech((100, 0), (2000, 9000), (200, 0))
    parts = await _parts(_cut(pcm, RATE // 10))
    assert len(parts) > 10
    heard = 0
    for number, part in enumerate(parts[:-1]):
        heard += len(part.pcm) // 2
        # Of a voice that goes on no more than 100 ms are kept back.
        assert heard >= (number - 2) * 4800 * 0.9 - 4800


async def test_words_and_phones_move_with_the_trimmed_beginning():
    pcm = _speech((120, 0), (900, 9000), (250, 0))
    parts = await _parts(_cut(pcm, 2400, TIMES))
    phones = [phone for part in parts for phone in part.phones]
    assert [(phone.symbol, phone.start_ms, phone.end_ms) for phone in phones] == [
        ("w", 30, 100),
        ("i", 100, 200),
    ]
    words = [word for part in parts for word in part.words]
    assert [(word.text, word.start_ms) for word in words] == [("We", 30), ("are", 200), ("open.", 400)]


async def test_times_that_come_before_the_sound_wait_for_it():
    pcm = _speech((120, 0), (900, 9000), (250, 0))
    parts = await _parts([TIMES, *_cut(pcm, 2400)])
    assert next(phone.start_ms for part in parts for phone in part.phones) == 30


async def test_words_of_a_voice_without_times_are_guessed_at_its_end():
    parts = await _parts(_cut(_speech((1000, 9000)), 2400))
    assert [word.text for word in parts[-1].words] == ["We", "are", "open."]
    assert parts[-1].words[-1].end_ms == pytest.approx(1000, abs=20)


async def test_the_pause_behind_a_sentence_is_its_own_and_not_the_providers():
    said = _sentence()
    parts = await _parts(_cut(_speech((500, 9000), (300, 0)), 2400), said)
    pcm = _joined(parts)
    assert parts[-1].pause_ms == said.tail_ms
    assert not pcm[-48 * said.tail_ms :].any()
    assert pcm[: -48 * said.tail_ms].size / 48 == pytest.approx(540, abs=10)


async def test_a_long_silence_inside_is_kept_and_counts_as_pause_at_the_end():
    within = await _parts(_cut(_speech((400, 9000), (900, 0), (400, 9000)), 2400))
    assert len(_joined(within)) / 48 == pytest.approx(1700 + 40 + 360, abs=50)
    behind = await _parts(_cut(_speech((400, 9000), (900, 0)), 2400))
    passed = 900 - HELD_SECONDS * 1000 - 40
    assert behind[-1].pause_ms == pytest.approx(max(passed, 360), abs=50)


async def test_its_ends_do_not_click():
    pcm = _joined(await _parts(_cut(_speech((600, 9000)), 2400)))
    sounding = pcm[: len(pcm) - 48 * 360]
    assert abs(int(sounding[0])) < 50
    assert abs(int(sounding[-1])) < 50


async def test_a_voice_too_quiet_for_the_threshold_is_heard_all_the_same():
    pcm = _joined(await _parts(_cut(_speech((100, 0), (800, 30)), 2400)))
    assert np.abs(pcm).max() > 20


@pytest.mark.parametrize("events", [[], _cut(np.zeros(RATE, np.int16), 2400)])
async def test_silence_is_no_sentence(events):
    with pytest.raises(AdapterError) as told:
        await _parts(events)
    assert told.value.code == "no_audio"
    assert told.value.retryable


async def test_a_rate_that_changes_is_refused():
    events = [
        PcmChunk(_speech((100, 9000)).tobytes(), 24_000),
        PcmChunk(_speech((100, 9000)).tobytes(), 16_000),
    ]
    with pytest.raises(AdapterError):
        await _parts(events)


async def test_leaving_it_closes_the_provider():
    tape = Tape(_cut(_speech((2000, 9000)), 2400))
    parts = speak_sentence_parts(tape, _sentence(), VOICE)
    await anext(parts)
    await parts.aclose()
    assert tape.closed


@pytest.mark.parametrize("size", [1, 47, 480, 5000, 48_000])
def test_levelling_in_pieces_gives_the_same_samples(size):
    random = np.random.default_rng(3)
    loud = np.repeat(random.uniform(0.1, 1.0, 40), 600).astype(np.float32)
    samples = (random.normal(0, 0.3, 24_000) * loud).astype(np.float32)[: 2_000 if size == 1 else None]
    leveller = Leveller(9.0)
    pieces = [leveller.feed(samples[at : at + size]) for at in range(0, len(samples), size)]
    streamed = np.concatenate([*pieces, leveller.flush()])
    np.testing.assert_allclose(streamed, levelled(samples, 9.0), atol=1e-6)


async def test_another_voice_is_levelled_with_its_own_gain():
    pcm = _speech((50, 0), (900, 3000), (200, 0))
    events = _cut(pcm, 4800)
    quiet = replace(VOICE, gain_db=0.0)
    spoken = _sentence("Levelled.")
    own = b"".join([part.pcm async for part in speak_sentence_parts(Tape(events), spoken, quiet)])
    handed = [Speaker("other", 6.0), *events]
    parts = [part async for part in speak_sentence_parts(Tape(handed), spoken, quiet)]
    other = b"".join(part.pcm for part in parts)
    gain = np.abs(np.frombuffer(other, "<i2")).max() / np.abs(np.frombuffer(own, "<i2")).max()
    assert gain == pytest.approx(10 ** (6 / 20), rel=0.02)
    assert {part.provider for part in parts} == {"other"}
    whole = await speak_sentence_live(Tape(handed), spoken, quiet)
    assert whole.provider == "other"
    assert len(whole.pcm) == len(other)


async def test_a_voice_cannot_change_in_the_middle():
    events = [*_cut(_speech((900, 3000)), 4800), Speaker("other", 6.0)]
    with pytest.raises(AdapterError):
        _ = [part async for part in speak_sentence_parts(Tape(events), _sentence("No."), VOICE)]
    with pytest.raises(AdapterError):
        await speak_sentence_live(Tape(events), _sentence("No."), VOICE)
