import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.speech_server import speech_server, tone
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.speech import loudness, trim
from workers.speech.resample import Resampler, resampled
from workers.speech.script import sentences
from workers.speech.speak import speak_sentence, speak_sentence_live
from workers.speech.voices import synthesizer_for, voice

RATE = 48_000


def sine(db: float, seconds: float = 3.0, hz: float = 997.0) -> np.ndarray:
    times = np.arange(int(RATE * seconds)) / RATE
    return (10 ** (db / 20) * np.sin(2 * np.pi * hz * times)).astype(np.float32)


@pytest.mark.parametrize("db", [0.0, -20.0, -40.0])
def test_the_meter_reads_what_the_standard_says_of_a_sine(db):
    assert loudness.lufs(sine(db)) == pytest.approx(db - 3.01, abs=0.05)


def test_the_meter_does_not_count_pauses():
    gap = np.zeros(RATE * 4, np.float32)
    assert loudness.lufs(np.concatenate([sine(-20), gap])) == pytest.approx(loudness.lufs(sine(-20)), abs=0.6)
    assert loudness.lufs(gap) == float("-inf")


def test_the_limiter_holds_the_ceiling_and_leaves_quiet_parts_alone():
    loud = np.concatenate([sine(-20, 1.0), sine(-3, 0.2), sine(-20, 1.0)])
    out = loudness.levelled(loud, 8.0)
    assert np.abs(out).max() <= 10 ** (loudness.CEILING_DB / 20) + 1e-6
    np.testing.assert_allclose(out[: RATE // 2], loud[: RATE // 2] * 10 ** (8 / 20), rtol=1e-4)


def test_below_the_ceiling_the_gain_is_all_there_is():
    np.testing.assert_allclose(loudness.levelled(sine(-20), 6.0), sine(-14), atol=1e-5)


@given(
    st.lists(st.integers(1, 997), min_size=1, max_size=20), st.sampled_from([8000, 22_050, 24_000, 25_680])
)
def test_resampling_in_pieces_is_resampling_at_once(cuts, rate):
    pcm = tone(100, rate)
    stream, out, at = Resampler(rate), b"", 0
    for cut in cuts:
        out += stream.feed(pcm[at * 2 : (at + cut) * 2])
        at += cut
    out += stream.feed(pcm[at * 2 :]) + stream.flush()
    whole = np.frombuffer(resampled(pcm, rate), "<i2").astype(int)
    assert np.abs(np.frombuffer(out, "<i2") - whole).max() <= 2  # rounding alone
    assert len(whole) == pytest.approx(len(pcm) / 2 * RATE / rate, abs=2)


def test_trimming_keeps_a_little_air():
    silence = np.zeros(RATE, np.float32)
    start, end = trim.bounds(np.concatenate([silence, sine(-10, 1.0), silence]), RATE)
    assert RATE - start == pytest.approx(trim.LEAD_SECONDS * RATE, abs=240)
    assert end - 2 * RATE == pytest.approx(trim.TAIL_SECONDS * RATE, abs=240)
    assert trim.bounds(silence, RATE) == (0, 0)


def speak(server, script="Hello there.", **options):
    (sentence,) = sentences(script, "en-US")
    speaker = synthesizer_for(voice("en-heart"), {"local": Endpoint(server.url, server.key)})
    return speak_sentence(speaker, sentence, voice("en-heart"), **options)


def test_an_utterance_has_its_silences_around_it_and_no_edge():
    with speech_server() as server:
        said = speak(server, "[pause 300ms] Hello there. [pause 1s]")
    pcm = np.frombuffer(said.pcm, "<i2").astype(int)
    heard = np.flatnonzero(np.abs(pcm) > 50)
    assert heard[0] == pytest.approx(0.300 * RATE, abs=300)
    assert len(pcm) - heard[-1] == pytest.approx(1.0 * RATE, abs=300)
    assert np.abs(np.diff(pcm)).max() < 1500
    assert said.duration_ms == pytest.approx(1500, abs=2)


def test_times_are_those_of_the_timeline():
    with speech_server() as server:
        said = speak(server, "[pause 300ms] Hello.")
    assert [(phone.symbol, phone.start_ms, phone.end_ms) for phone in said.phones] == [("h", 310, 360)]
    assert [(word.text, word.start_ms, word.end_ms) for word in said.words] == [("Hello.", 310, 490)]


def test_speed_and_tempo_reach_the_provider():
    with speech_server() as server:
        speak(server, speed=1.2, priority="batch")
    assert server.requests[0]["speed"] == pytest.approx(1.2 * voice("en-heart").tempo, abs=1e-3)
    assert server.requests[0]["priority"] == "batch"


def test_without_timings_words_are_timed_by_their_length():
    with speech_server("plain audio/pcm") as server:
        said = speak(server, "A considerable word.")
    assert [word.text for word in said.words] == ["A", "considerable", "word."]
    assert said.words[0].start_ms == 0
    assert said.words[-1].end_ms == said.duration_ms
    lengths = [word.end_ms - word.start_ms for word in said.words]
    assert lengths[1] > lengths[2] > lengths[0]


def test_silence_from_a_provider_is_an_error():
    with speech_server() as server:
        server.pcm = bytes(48_000)
        with pytest.raises(AdapterError) as caught:
            speak(server)
    assert (caught.value.code, caught.value.retryable) == ("no_audio", True)


async def test_a_live_sentence_goes_ahead_of_batch_work():
    with speech_server() as server:
        (sentence,) = sentences("Hello there.", "en-US")
        speaker = synthesizer_for(voice("en-heart"), {"local": Endpoint(server.url, server.key)})
        said = await speak_sentence_live(speaker, sentence, voice("en-heart"))
    assert said.text == "Hello there."
    assert server.requests[0]["priority"] == "live"
