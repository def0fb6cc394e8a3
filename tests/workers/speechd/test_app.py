"""The sidecar's HTTP side, with a voice that is as quick as a test needs."""

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from aiohttp import FormData
from aiohttp.test_utils import TestClient, TestServer

from workers.speechd import app as speechd
from workers.speechd.ears import Ears, Heard, Samples, TooLong, Unreadable
from workers.speechd.engines.base import Take
from workers.speechd.line import Letter, Line
from workers.speechd.mouth import Mouth
from workers.speechd.speaking import Speaking
from workers.speechd.turnstile import Turnstile

KEY = {"Authorization": "Bearer secret"}
RATE = 24_000


class Letters:
    """A front end: every character is a sound of its own."""

    def read(self, text: str) -> Line:
        words = text.split(" ")
        letters = [
            Letter(c, -1 if c in ".?, " else text[:i].count(" ")) for i, c in enumerate(text) if c.isascii()
        ]
        return Line(tuple(letters), tuple(words))


class Hum:
    """An engine: 50 ms of tone per letter. `gate` holds it in the middle of a sentence."""

    sample_rate = RATE
    early_seconds = 0.0

    def __init__(self) -> None:
        self.said: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()

    def say(self, line: Line, *, voice: str, speed: float) -> Take:
        self.begun.set()
        self.gate.wait(5)
        self.said.append(line.phonemes)
        if line.phonemes.startswith("x"):
            raise RuntimeError("the voice broke")
        edges = tuple(i * 0.05 / speed for i in range(len(line.letters) + 1))
        times = np.arange(int(edges[-1] * RATE)) / RATE
        return Take(np.sin(2 * np.pi * 300 * times).astype(np.float32) * 0.5, edges)


class DeafEars(Ears):
    """A recording of ten minutes is heard for as long as `gate` is shut."""

    gate = threading.Event()

    def decode(self, upload: bytes) -> Samples:
        if upload == b"noise":
            raise Unreadable
        if upload == b"long":
            raise TooLong
        return np.zeros(16_000 * (600 if upload == b"ten minutes" else 3), np.float32)

    def hear(self, samples: Samples) -> list[Heard]:
        if len(samples) == 16_000 * 600:
            assert self.gate.wait(20)
        return [Heard(0.0, 1.0, "Hello there."), Heard(1.0, 2.5, "Bye.")]


@pytest.fixture
def hum() -> Hum:
    return Hum()


@pytest.fixture
async def client(hum: Hum) -> AsyncIterator[TestClient]:
    mouth = Mouth({"hibari": lambda: hum}, {"en": Letters})
    with ThreadPoolExecutor(1) as thread:
        speaking = Speaking(mouth, thread, Turnstile(most_waiting=2))
        app = speechd.application(api_key=b"secret", mouth=mouth, speaking=speaking, ears=DeafEars(threads=1))
        server = TestServer(app, handler_cancellation=True)
        async with TestClient(server, headers=KEY) as made:
            yield made
        hum.gate.set()


def wish(text: str, **more: object) -> dict[str, object]:
    return {"input": text, "voice": "en-heart", "response_format": "pcm", **more}


@pytest.mark.parametrize("key", ["", "Bearer wrong", "Bearer secre", "secret", "Bearer sécret"])
@pytest.mark.parametrize("path", ["/health", "/v1/audio/voices", "/v1/audio/speech", "/nowhere"])
async def test_a_stranger_is_turned_away_everywhere(client, key, path):
    response = await client.get(path, headers={"Authorization": key})
    assert response.status == 401
    assert (await response.json())["error"]["code"] == "invalid_api_key"


async def test_health_tells_what_is_loaded(client):
    assert (await (await client.get("/health")).json())["loaded"] == []
    await client.post("/v1/audio/speech", json=wish("hello"))
    assert (await (await client.get("/health")).json())["loaded"] == ["en", "hibari"]


async def test_voices_are_listed(client):
    listed = await (await client.get("/v1/audio/voices")).json()
    assert "en-heart" in {voice["id"] for voice in listed["data"]}


async def test_samples_come_with_their_rate(client):
    response = await client.post("/v1/audio/speech", json=wish("hello"))
    assert response.headers["X-Sample-Rate"] == "24000"
    pcm = await response.read()
    assert len(pcm) == 2 * int(0.25 * RATE)


async def test_a_voice_of_another_pitch_plays_faster_and_speaks_slower(client):
    response = await client.post("/v1/audio/speech", json=wish("hello", voice="en-iris"))
    rate = int(response.headers["X-Sample-Rate"])
    assert rate == round(RATE * 1.07)
    assert len(await response.read()) / 2 / rate == pytest.approx(0.25, abs=0.01)


async def test_wav_has_a_header_of_unknown_length(client):
    content = await (await client.post("/v1/audio/speech", json=wish("hello", response_format="wav"))).read()
    assert content[:4] == b"RIFF"
    assert content[40:44] == b"\xff\xff\xff\xff"


async def test_events_tell_when_words_of_every_sentence_are_heard(client):
    body = wish("ab cd. ef", stream_format="sse")
    text = await (await client.post("/v1/audio/speech", json=body)).text()
    events = [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:")]
    assert [event["type"].rpartition(".")[2] for event in events] == ["delta", "timings"] * 2 + ["done"]
    pcm = b"".join(base64.b64decode(e["audio"]) for e in events if "audio" in e)
    assert events[-1]["samples"] * 2 == len(pcm)
    words = [word for event in events for word in event.get("words", [])]
    assert [word["text"] for word in words] == ["ab", "cd.", "ef"]
    assert words[2]["start_ms"] >= words[1]["end_ms"] + 350
    assert words[2]["end_ms"] <= len(pcm) // 2 * 1000 // RATE


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (wish(""), 400, "input_empty"),
        (wish("  "), 400, "input_empty"),
        (wish("a" * 8001), 400, "input_too_long"),
        (wish("a\ud800"), 400, "input_invalid"),
        (wish("日本"), 400, "nothing_to_say"),
        (wish("a", voice="nobody"), 404, "voice_not_found"),
        (wish("a", voice=None), 404, "voice_not_found"),
        (wish("a", response_format="mp3"), 400, "response_format_invalid"),
        (wish("a", speed="fast"), 400, "speed_invalid"),
        (wish("a", speed=True), 400, "speed_invalid"),
        (wish("a", speed=9), 400, "speed_invalid"),
        (wish("a", priority="now"), 400, "priority_invalid"),
        (["no", "object"], 400, "invalid_json"),
    ],
)
async def test_nonsense_is_refused_with_a_code(client, body, status, code):
    response = await client.post("/v1/audio/speech", data=json.dumps(body))
    assert response.status == status
    assert (await response.json())["error"]["code"] == code


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b""])
async def test_what_is_no_json_is_refused(client, data):
    assert (await client.post("/v1/audio/speech", data=data)).status == 400


async def test_a_huge_body_is_refused(client):
    assert (await client.post("/v1/audio/speech", data=b" " * 100_000)).status == 413


async def test_a_live_sentence_passes_the_rest_of_a_batch(client, hum):
    hum.gate.clear()
    batch = asyncio.create_task(client.post("/v1/audio/speech", json=wish("aa. bb. cc.", priority="batch")))
    await asyncio.to_thread(hum.begun.wait, 5)
    live = asyncio.create_task(client.post("/v1/audio/speech", json=wish("dd.")))
    while not client.app[speechd.SPEAKING]._queue.waiting:
        await asyncio.sleep(0.005)
    hum.gate.set()
    for response in await asyncio.gather(batch, live):
        await response.read()
    assert hum.said.index("dd.") < hum.said.index("cc.")


async def test_too_many_waiting_are_told_to_come_back(client, hum):
    hum.gate.clear()
    tasks = [asyncio.create_task(client.post("/v1/audio/speech", json=wish("aa."))) for _ in range(6)]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    refused = done.pop().result()
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    hum.gate.set()
    await asyncio.gather(*tasks)


async def test_when_the_client_leaves_the_rest_is_not_spoken(client, hum):
    hum.gate.clear()
    async with httpx.AsyncClient() as other:
        task = asyncio.create_task(
            other.post(str(client.make_url("/v1/audio/speech")), json=wish("aa. bb. cc."), headers=KEY)
        )
        await asyncio.to_thread(hum.begun.wait, 5)
        task.cancel()
        await asyncio.wait([task])
    await asyncio.sleep(0.1)
    hum.gate.set()
    await (await client.post("/v1/audio/speech", json=wish("dd."))).read()
    assert hum.said == ["aa.", "dd."]


async def test_a_voice_that_breaks_before_the_first_sound_answers_500(client):
    assert (await client.post("/v1/audio/speech", json=wish("xx."))).status == 500
    assert (await client.post("/v1/audio/speech", json=wish("yy."))).status == 200


async def test_a_voice_that_breaks_later_cuts_the_body(client):
    url = str(client.make_url("/v1/audio/speech"))
    async with httpx.AsyncClient() as other:
        with pytest.raises(httpx.RemoteProtocolError):
            await other.post(url, json=wish("aa. xx."), headers=KEY)


def form(file: bytes = b"sound", **fields: str) -> FormData:
    data = FormData()
    for name, value in fields.items():
        data.add_field(name, value)
    data.add_field("file", file, filename="speech.wav", content_type="audio/wav")
    return data


async def test_a_recording_is_transcribed(client):
    body = await (await client.post("/v1/audio/transcriptions", data=form(language="en-US"))).json()
    assert body["text"] == "Hello there. Bye."
    assert body["segments"][1]["start"] == 1.0
    text = await client.post("/v1/audio/transcriptions", data=form(response_format="text"))
    assert await text.text() == "Hello there. Bye.\n"


async def test_a_long_recording_keeps_nobody_waiting_who_just_spoke(client):
    DeafEars.gate.clear()
    long = asyncio.create_task(client.post("/v1/audio/transcriptions", data=form(b"ten minutes")))
    await asyncio.sleep(0.1)
    try:
        spoken = await client.post("/v1/audio/transcriptions", data=form())
        assert spoken.status == 200
        assert not long.done()
    finally:
        DeafEars.gate.set()
    assert (await long).status == 200


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (lambda: form(language="de"), 400, "language_unsupported"),
        (lambda: form(response_format="srt"), 400, "response_format_invalid"),
        (lambda: form(b"noise"), 400, "audio_unreadable"),
        (lambda: form(b"long"), 413, "audio_too_long"),
        (lambda: form(b""), 400, "file_missing"),
        (lambda: b"no form", 400, "invalid_form"),
    ],
)
async def test_what_cannot_be_heard_is_refused_with_a_code(client, data, status, code):
    response = await client.post("/v1/audio/transcriptions", data=data())
    assert response.status == status
    assert (await response.json())["error"]["code"] == code


async def test_figures_tell_what_was_said_and_refused(client):
    await (await client.post("/v1/audio/speech", json=wish("One. Two."))).read()
    await client.post("/v1/audio/speech", data=b"nonsense")
    await client.get("/nowhere/at/all")
    await client.get("/v1/audio/speech")
    page = await (await client.get("/metrics")).text()
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert lines['parley_speech_requests_total{route="/v1/audio/speech",status="200"}'] == "1.0"
    assert lines['parley_speech_requests_total{route="/v1/audio/speech",status="400"}'] == "1.0"
    assert lines['parley_speech_requests_total{route="none",status="404"}'] == "1.0"
    assert lines['parley_speech_requests_total{route="none",status="405"}'] == "1.0"
    assert float(lines["parley_speech_spoken_seconds_total"]) > 0
    assert lines["parley_speech_first_sound_seconds_count"] == "1.0"
    assert lines["parley_speech_waiting"] == "0.0"
    assert float(lines["process_resident_memory_bytes"]) > 0
    assert "Two" not in page
