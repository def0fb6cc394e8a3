import io
import wave

import numpy as np
import pytest

from workers.adapters import retry
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import Segment, Transcript
from workers.adapters.stt.whole import Whole, halves

RATE = 16_000


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)


def recording(seconds: float, *, quiet_at: float = 0.0, channels: int = 1) -> bytes:
    """Noise with half a second of silence."""
    sound = np.random.default_rng(1).normal(0, 3000, int(seconds * RATE))
    sound[int(quiet_at * RATE) : int((quiet_at + 0.5) * RATE)] = 0
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.repeat(sound.astype("<i2"), channels).tobytes())
    return out.getvalue()


def seconds_of(audio: bytes) -> float:
    with wave.open(io.BytesIO(audio)) as file:
        return file.getnframes() / file.getframerate()


class Small(Whole):
    """Takes so many seconds at a time, and answers with a word for each recording."""

    provider = "small"

    def __init__(self, most_seconds: float, *faults: AdapterError) -> None:
        self.most_seconds = most_seconds
        self.faults = list(faults)
        self.asked: list[float] = []

    async def once(self, audio: bytes, language: str) -> Transcript:
        if self.faults:
            raise self.faults.pop(0)
        seconds = seconds_of(audio)
        if seconds > self.most_seconds:
            raise AdapterError("no", provider="", retryable=False, code="provider_too_large")
        self.asked.append(seconds)
        word = f"{language or 'part'}{len(self.asked)}"
        return Transcript(word, (Segment(0, round(seconds * 1000), word),))


def test_a_recording_is_cut_in_a_pause_near_its_middle():
    found = halves(recording(30, quiet_at=13))
    assert found is not None
    first, later_ms, second = found
    assert later_ms == pytest.approx(13_250, abs=250)
    assert seconds_of(first) * 1000 == pytest.approx(later_ms, abs=1)
    assert seconds_of(first) + seconds_of(second) == pytest.approx(30)


def test_both_channels_are_kept():
    found = halves(recording(20, quiet_at=10, channels=2))
    assert found is not None
    with wave.open(io.BytesIO(found[2])) as file:
        assert file.getnchannels() == 2


@pytest.mark.parametrize("audio", [b"ID3 no wav", b"", recording(5), recording(60)[:20]])
def test_what_cannot_be_cut_is_not(audio):
    assert halves(audio) is None


async def test_what_is_too_large_is_heard_in_parts_and_in_order():
    ears = Small(15)
    heard = await ears.listen(recording(40, quiet_at=19), language="de")
    assert len(ears.asked) == 4
    assert heard.text == "de1 de2 de3 de4"
    assert heard.provider == "small"
    ends = [segment.end_ms for segment in heard.segments]
    assert [segment.start_ms for segment in heard.segments] == [0, *ends[:-1]]
    assert ends[-1] == pytest.approx(40_000, abs=5)


async def test_what_is_known_to_be_too_large_is_not_even_sent():
    ears = Small(100)
    ears.most_bytes = 25 * RATE * 2
    await ears.listen(recording(40, quiet_at=19))
    assert len(ears.asked) == 2


async def test_a_file_that_cannot_be_cut_stays_too_large():
    with pytest.raises(AdapterError) as caught:
        await Small(1).listen(recording(3))
    assert caught.value.code == "provider_too_large"


def test_code_that_blocks_gets_the_same_and_tries_again():
    fault = AdapterError("no", provider="", retryable=True, code="provider_busy")
    ears = Small(100, fault, fault)
    assert ears.recognize(recording(1)).text == "part1"
    assert fault.provider == "small"


def test_it_gives_up_after_three_tries():
    faults = [AdapterError("no", provider="", retryable=True) for _ in range(3)]
    ears = Small(100, *faults)
    with pytest.raises(AdapterError):
        ears.recognize(recording(1))
    assert not ears.faults
