"""Recordings and who understands them."""

import io
import wave
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from generation import hearing, voices
from project.accounts.models import User
from tests.support.hearing import Scribe
from tests.support.recognisers import Line, Streamed
from workers.adapters import breaker
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import Recognizer, Segment, Transcript
from workers.adapters.stt.chain import FallbackRecognizer

RATE = 48_000


@pytest.fixture
def asked(monkeypatch):
    """Lets recordings be heard by these; returns whom they were wished to be heard by."""
    breaker.reset()
    wishes: list[tuple[str, ...]] = []

    def by(*recognizers: Recognizer) -> list[tuple[str, ...]]:
        def recognizer(wanted: tuple[str, ...] = ()) -> Recognizer:
            wishes.append(tuple(wanted))
            return FallbackRecognizer(recognizers)

        monkeypatch.setattr(voices, "recognizer", recognizer)
        return wishes

    return by


def voice(seconds: float, level: float = 8_000) -> bytes:
    times = np.arange(int(RATE * seconds)) / RATE
    return (np.sin(2 * np.pi * 200 * times) * level).astype("<i2").tobytes()


def fault(code: str = "provider_unreachable") -> AdapterError:
    return AdapterError("no", provider="x", retryable=True, code=code)


class Timed(Scribe):
    """Tells when it was said: from 1 s to the end of the recording."""

    def recognize(self, audio: bytes, *, language: str = "") -> Transcript:
        found = super().recognize(audio, language=language)
        return Transcript(found.text, (Segment(1_000, self.asked[-1], found.text),))


def test_a_recording_is_heard_in_its_language_by_whom_was_wished(asked):
    scribe = Scribe("Bonjour.")
    wishes = asked(scribe)
    found = hearing.recognise([voice(2)], language="fr-FR", wanted=("there",))
    assert (found.text, found.provider) == ("Bonjour.", "scribe")
    assert (scribe.languages, wishes) == (["fr-FR"], [("there",)])


def test_another_one_hears_what_the_first_cannot(asked):
    away = Scribe(fault=fault())
    away.provider = "away"
    asked(away, Scribe("Hello."))
    assert hearing.recognise([voice(2)]).provider == "scribe"


def test_long_recordings_are_cut_where_nobody_speaks(asked):
    timed = Timed("One.", "Two.")
    asked(timed)
    found = hearing.recognise([voice(200), voice(1, 10), voice(150)])
    assert found.text == "One. Two."
    assert len(timed.asked) == 2
    assert 200_000 <= timed.asked[0] <= 201_000
    assert sum(timed.asked) == pytest.approx(351_000, abs=2)
    assert found.segments[1].start_ms == pytest.approx(timed.asked[0] + 1_000, abs=2)


def test_a_stream_hears_a_long_recording(asked):
    lines = [Line(1_000, 3_000, "Good morning."), Line(60_000, 63_000, "And good night.")]
    asked(Streamed("s", lines))
    found = hearing.recognise([voice(65)])
    assert found.text == "Good morning. And good night."
    assert found.segments == (
        Segment(1_000, 3_000, "Good morning."),
        Segment(60_000, 63_000, "And good night."),
    )


def test_who_tells_no_times_is_asked_piece_by_piece_for_captions(asked):
    scribe = Scribe("All of it.", "First.", "Second.", "")
    asked(scribe)
    found = hearing.recognise([voice(6), voice(0.5, 10), voice(6), voice(0.5, 10), voice(4)], timed=True)
    assert found.text == "First. Second."
    assert [s.text for s in found.segments] == ["First.", "Second."]
    assert found.segments[0].end_ms == found.segments[1].start_ms
    assert 6_000 <= found.segments[0].end_ms <= 6_500


def test_silence_has_no_words(asked):
    asked(Scribe(""))
    assert hearing.recognise([bytes(RATE)], timed=True) == Transcript("", (), "scribe")


def test_recognisers_get_what_they_know():
    with wave.open(io.BytesIO(hearing.wav(voice(1)))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.getnframes() == 16_000


@pytest.fixture
def transcribed(api: Any, alice: User) -> Callable[[str], Any]:
    """Post two seconds of sound in a language."""

    def post(language: str) -> Any:
        recording = SimpleUploadedFile("said.wav", hearing.wav(voice(2)), "audio/wav")
        return api(alice).post(
            "/api/v1/transcriptions", {"file": recording, "language": language}, format="multipart"
        )

    return post


@pytest.mark.django_db
def test_the_api_tells_who_understood_it(asked, transcribed):
    scribe = Scribe("Guten Tag.")
    asked(scribe)
    answer = transcribed("de-DE")
    assert answer.status_code == 200
    assert answer.json() == {"text": "Guten Tag.", "segments": [], "provider": "scribe"}
    assert scribe.languages == ["de-DE"]


@pytest.mark.django_db
@pytest.mark.parametrize(("code", "status"), [("language_unsupported", 400), ("provider_unreachable", 503)])
def test_the_api_tells_whose_fault_it_is(asked, transcribed, code, status):
    asked(Scribe(fault=AdapterError("no", provider="x", retryable=False, code=code)))
    answer = transcribed("tlh")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
