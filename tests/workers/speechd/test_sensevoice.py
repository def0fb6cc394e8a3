"""SenseVoice through the real library, with a model small enough to be made here."""

import asyncio
import io
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from aiohttp import FormData
from aiohttp.test_utils import TestClient, TestServer

from tests.support.sensevoice import make_model, tones
from workers.adapters import catalogue, registry
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.stt.growing import wav
from workers.speechd import app as speechd
from workers.speechd import sensevoice
from workers.speechd.ears import Ears
from workers.speechd.mouth import Mouth
from workers.speechd.pauses import pieces
from workers.speechd.sensevoice import NoModel, SenseVoice
from workers.speechd.speaking import Speaking
from workers.speechd.turnstile import Turnstile

LOW, HIGH, STOP, PAUSE = (300.0, 0.5), (3000.0, 0.5), (1000.0, 0.2), (0.0, 0.4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("sensevoice"))


@pytest.fixture(scope="module")
def model(folder: Path) -> SenseVoice:
    return SenseVoice(folder, threads=1)


def said(model: SenseVoice, samples: np.ndarray) -> list[str]:
    return [heard.text for part in model.parts(samples) for heard in model.hear(samples, part).heard]


def test_words_are_heard_without_the_tags_of_language_feeling_and_event(model):
    assert said(model, tones(LOW, PAUSE, HIGH)) == ["low high"]


def test_sentences_have_their_times(model):
    sound = tones(LOW, STOP, (0.0, 1.0), HIGH, STOP)
    (part,) = model.parts(sound)
    first, second = model.hear(sound, part).heard
    assert (first.text, second.text) == ("low.", "high.")
    assert first.start == pytest.approx(0.0, abs=0.15)
    assert first.end == pytest.approx(0.6, abs=0.15)
    assert second.start == pytest.approx(1.7, abs=0.15)
    assert second.end <= len(sound) / 16_000


def test_silence_is_nothing(model):
    assert said(model, tones((0.0, 3.0))) == []
    assert said(model, np.zeros(0, np.float32)) == []


def test_a_click_shorter_than_a_window_is_no_danger(model):
    assert said(model, tones((300.0, 0.01))) in ([], ["low"])


def test_long_sound_is_cut_at_pauses_and_loses_nothing(model):
    sound = tones(*[(300.0, 2.5), (0.0, 0.5), (3000.0, 2.5), (0.0, 0.5)] * 12)
    parts = model.parts(sound)
    assert len(parts) > 2
    assert all(end - start <= sensevoice.LONGEST_SECONDS * 16_000 for start, end in parts)
    assert all(not sound[end - 1600 : end + 1600].any() for _, end in parts[:-1]), "in the middle of a pause"
    words = " ".join(said(model, sound)).split()
    assert words == ["low", "high"] * 12


def test_pieces_cover_all_that_sounds_even_where_there_is_no_pause():
    sound = tones((300.0, 65.0))
    found = list(pieces(sound, 28.0))
    assert found[0][0] == 0
    assert found[-1][1] == len(sound)
    assert [end for _, end in found[:-1]] == [start for start, _ in found[1:]]


@pytest.mark.parametrize(
    ("tokens", "cuts"),
    [
        (["▁It", "▁is", "▁3", ".", "5", ".", "▁Yes"], [(0, 6), (6, 7)]),
        (["你好", "。", "再", "见", "。"], [(0, 2), (2, 5)]),
        ([], []),
    ],
)
def test_a_point_within_a_number_ends_no_sentence(tokens, cuts):
    assert list(sensevoice._cuts(tokens)) == cuts


def _no_tokens(folder: Path) -> None:
    (folder / "tokens.txt").unlink()


def _odd_tokens(folder: Path) -> None:
    (folder / "tokens.txt").write_text("a page\n<html>\n")


def _no_model(folder: Path) -> None:
    (folder / "model.onnx").unlink()


def _empty_model(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"")


def _half_a_model(folder: Path) -> None:
    whole = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(b"\0" * 400 + whole[400:])


@pytest.mark.parametrize("spoil", [_no_tokens, _odd_tokens, _no_model, _empty_model, _half_a_model])
def test_a_folder_that_is_no_model_is_refused_and_nothing_dies(tmp_path, spoil: Callable[[Path], None]):
    spoil(make_model(tmp_path))
    with pytest.raises(NoModel):
        SenseVoice(tmp_path).load()


@pytest.mark.parametrize("fact", ["neg_mean", "lfr_window_size", "with_itn", "vocab_size"])
def test_another_kind_of_model_is_refused_before_the_library_ends_the_process(tmp_path, fact):
    with pytest.raises(NoModel):
        SenseVoice(make_model(tmp_path, leave_out=fact)).load()


def test_that_model_would_have_ended_the_process(tmp_path):
    """Why the folder is looked at first. Should this fail, the library has become kinder."""
    make_model(tmp_path, leave_out="vocab_size")
    code = (
        "from sherpa_onnx import OfflineRecognizer as R;"
        f"R.from_sense_voice(model=r'{tmp_path}/model.onnx', tokens=r'{tmp_path}/tokens.txt')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ran.returncode != 0
    assert b"Traceback" not in ran.stderr


@pytest.fixture(scope="module")
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


@asynccontextmanager
async def sidecar(thread: ThreadPoolExecutor, model: SenseVoice | None) -> AsyncIterator[TestClient]:
    mouth = Mouth({}, {})
    app = speechd.application(
        api_key=b"secret",
        mouth=mouth,
        speaking=Speaking(mouth, thread, Turnstile(most_waiting=2)),
        ears=Ears(threads=1),
        sensevoice=model,
    )
    async with TestClient(TestServer(app), headers={"Authorization": "Bearer secret"}) as client:
        yield client


def form(samples: np.ndarray, **fields: str) -> FormData:
    data = FormData()
    for name, value in {"model": "sensevoice", **fields}.items():
        data.add_field(name, value)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    data.add_field("file", out.getvalue(), filename="speech.wav", content_type="audio/wav")
    return data


async def test_the_sidecar_hears_with_it(thread, model):
    async with sidecar(thread, model) as client:
        sound = tones(LOW, STOP, PAUSE, HIGH)
        wish = form(sound, language="zh-CN", response_format="verbose_json")
        answer = await client.post("/v1/audio/transcriptions", data=wish)
        body = await answer.json()
        assert (answer.status, body["text"], body["language"]) == (200, "low. high", "en")
        assert [segment["text"] for segment in body["segments"]] == ["low.", "high"]
        assert "sensevoice" in (await (await client.get("/health")).json())["loaded"]
        text = await client.post("/v1/audio/transcriptions", data=form(sound, response_format="text"))
        assert await text.text() == "low. high\n"


async def test_recordings_are_heard_one_at_a_time(thread, model, monkeypatch):
    """Two at once would share an instance that cannot be shared."""
    inside: list[int] = []
    most: list[int] = []
    hear = model.hear

    def watched(samples, part):
        inside.append(1)
        most.append(len(inside))
        try:
            return hear(samples, part)
        finally:
            inside.pop()

    monkeypatch.setattr(model, "hear", watched)
    async with sidecar(thread, model) as client:
        wishes = [client.post("/v1/audio/transcriptions", data=form(tones(LOW))) for _ in range(4)]
        answers = await asyncio.gather(*wishes)
        assert [(await answer.json())["text"] for answer in answers] == ["low"] * 4
    assert max(most) == 1


async def test_without_a_model_the_sidecar_says_so(thread):
    async with sidecar(thread, None) as client:
        answer = await client.post("/v1/audio/transcriptions", data=form(tones(LOW)))
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "model_not_found"


async def test_languages_it_does_not_know_are_refused(thread, model):
    async with sidecar(thread, model) as client:
        answer = await client.post("/v1/audio/transcriptions", data=form(tones(LOW), language="fi"))
        assert (await answer.json())["error"]["code"] == "language_unsupported"
        answer = await client.post("/v1/audio/transcriptions", data=form(tones(LOW), language="ja-JP"))
        assert answer.status == 200


async def test_parley_reaches_it_by_the_provider_s_file(thread, model):
    async with sidecar(thread, model) as client:
        provider = catalogue.providers()["sensevoice"]
        options = {"provider": "sensevoice", **provider.recognition}
        endpoint = Endpoint(str(client.make_url(provider.path)), "secret")
        ears = registry.recognizer(options.pop("adapter"), endpoint, options)
        sound = wav((tones(LOW, STOP, PAUSE, HIGH) * 32767).astype("<i2").tobytes())
        heard = await ears.listen(sound, language="zh-CN")
        assert (heard.text, heard.provider) == ("low. high", "sensevoice")
        assert [segment.text for segment in heard.segments] == ["low.", "high"]


async def test_parley_is_told_where_there_is_no_model(thread):
    async with sidecar(thread, None) as client:
        options = {"provider": "sensevoice", **catalogue.providers()["sensevoice"].recognition}
        endpoint = Endpoint(str(client.make_url("/v1")), "secret")
        ears = registry.recognizer(options.pop("adapter"), endpoint, options)
        with pytest.raises(AdapterError) as caught:
            await ears.listen(wav(bytes(32_000)))
        assert (caught.value.code, caught.value.retryable) == ("provider_not_found", False)
