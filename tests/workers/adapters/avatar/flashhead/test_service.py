"""The FlashHead service: its contract, what it refuses, and that our own client is content with it."""

import base64
import io
import json
import os
import stat
import threading
import wave
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from tests.support.media import png_header
from tests.support.models import config
from tests.support.remote import bundled, portrait, sound, window
from workers.adapters.avatar import film as films
from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.flashhead import service, wishes
from workers.adapters.avatar.flashhead import studio as studios
from workers.adapters.avatar.flashhead.http import FlashHeadHttp
from workers.adapters.avatar.flashhead.native import FlashHead
from workers.adapters.avatar.flashhead.service import MAX_BODY_BYTES, Desk, Server
from workers.adapters.avatar.flashhead.studio import Studio
from workers.adapters.avatar.flashhead.wishes import Reader
from workers.adapters.avatar.runtime import Runtime
from workers.rendering.encode import encode_fragment
from workers.rendering.fragment import render_fragment

SIDE = 96
KEY = "the-key"


def encode(pictures, width, height) -> bytes:
    return encode_fragment(pictures, width=width, height=height).data


def native(repository: Path, weights: Path) -> FlashHead:
    told = config("flashhead", {"FLASHHEAD_BACKEND": "local", "FLASHHEAD_REPOSITORY": str(repository)})
    told = replace(told, profile=replace(told.profile, width=SIDE, height=SIDE))
    return FlashHead(told, Runtime(Alone(weights)))


@pytest.fixture
def renderer(package, weights) -> FlashHead:
    torch.set_num_threads(1)
    return native(package(), weights)


@contextmanager
def serving(
    renderer: FlashHead, folder: Path, *, shared: Path | None = None, wait: float = 0.0, encode=encode
):
    """The service and its address."""
    output = folder / "films"
    output.mkdir(exist_ok=True)
    studio = Studio(renderer.speaker, encode, output, 0.0)
    with Server(("127.0.0.1", 0), Desk(Reader(shared, SIDE, SIDE), studio, 24, KEY)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(5)


@pytest.fixture
def client(renderer, tmp_path) -> Iterator[httpx.Client]:
    shared = tmp_path / "shared"
    shared.mkdir()
    with (
        serving(renderer, tmp_path, shared=shared) as (_, address),
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {KEY}"}, timeout=20) as client,
    ):
        yield client


def wav(frames: int = 24, *, rate: int = 16_000, channels: int = 1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound(frames).astype("<i2").tobytes())
    return out.getvalue()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def body(*, config=None, **inputs) -> dict:
    given = {"image_b64": text(portrait(SIDE, SIDE)), "audio_b64": text(wav()), **inputs}
    given = {name: value for name, value in given.items() if value is not None}
    return {
        "task": "audio2video",
        "model": "soulx-flashhead-1.3b",
        "inputs": given,
        "config": {"preset": "balanced", "fps": 25, "whatever": [1], **(config or {})},
    }


def asked(client: httpx.Client, told: dict) -> httpx.Response:
    return client.post("/v1/generate", json=told)


def test_the_request_of_others_is_answered_as_they_expect(client, tmp_path):
    shared = tmp_path / "shared" / "session_0123456789ab"
    shared.mkdir()
    (shared / "reference.png").write_bytes(portrait(SIDE, SIDE))
    (shared / "chunk_00000001.wav").write_bytes(wav(30))
    inputs = {"image": f"{shared}/reference.png", "audio": f"{shared}/chunk_00000001.wav"}

    answer = asked(client, body(image_b64=None, audio_b64=None, **inputs))

    assert answer.status_code == 200
    (film,) = answer.json()["outputs"]
    told = {"kind": "video", "mime": "video/mp4", "width": SIDE, "height": SIDE, "num_frames": 30, "fps": 25}
    assert told.items() <= film.items()
    assert film["audio"] is False
    data = Path(film["path"]).read_bytes()
    assert client.get(film["url"]).content == data
    assert len(list(films.pictures(data, films.Limits(30, SIDE, SIDE)))) == 30


def test_our_own_client_passes_its_films_on_as_they_are(renderer, tmp_path):
    pcm = sound(72)
    with serving(renderer, tmp_path) as (server, address):
        told = config("flashhead", {"FLASHHEAD_URL": address, "FLASHHEAD_API_KEY": KEY})
        remote = FlashHeadHttp(told, Runtime(Alone(), told.endpoint))
        stream = remote.open_stream(remote.load(bundled(SIDE, SIDE)))
        made = [
            render_fragment(remote, stream, window(pcm, start, 24), width=SIDE, height=SIDE).data
            for start in (0, 24, 48)
        ]
        kept = {path.read_bytes() for path in server.desk.studio.folder.glob("*.mp4")}

    assert set(made) == kept
    assert stream.seams == []
    # What came over HTTP, chunk by chunk, is what the model draws here of the whole sound.
    here = renderer.open_stream(renderer.load(bundled(SIDE, SIDE)))
    poses = renderer.extract_features(here, window(pcm, 0, 72))
    whole = [renderer.compose_frame(here, pose).copy() for pose in poses]
    shown = [picture for data in made for picture in films.pictures(data, films.Limits(24, SIDE, SIDE))]
    assert max(np.abs(one.astype(int) - two).mean() for one, two in zip(shown, whole, strict=True)) < 3


def test_a_proxy_that_calls_the_service_otherwise_is_no_obstacle(renderer, tmp_path, monkeypatch):
    """As one with TLS does: what the service takes for its address is not the one that was configured."""
    monkeypatch.setattr(service._Handler, "_host", lambda self: "inside:1")
    with serving(renderer, tmp_path) as (_, address):
        told = config("flashhead", {"FLASHHEAD_URL": address, "FLASHHEAD_API_KEY": KEY})
        remote = FlashHeadHttp(told, Runtime(Alone(), told.endpoint))
        stream = remote.open_stream(remote.load(bundled(SIDE, SIDE)))
        made = render_fragment(remote, stream, window(sound(24), 0, 24), width=SIDE, height=SIDE)
    assert made.frames == 24


def test_sessions_go_on_and_others_begin_at_the_portrait(client):
    def continued(**config) -> bool:
        answer = asked(client, body(config=config))
        assert answer.status_code == 200, answer.text
        return answer.json()["metadata"]["continued"]

    assert continued(session="a", continues=True) is False
    assert continued(session="a", continues=True) is True
    assert continued(session="b", continues=True) is False
    assert continued(session="a", continues=False) is False
    assert continued(continues=True) is False


def test_another_picture_is_another_session(client):
    asked(client, body(config={"session": "a"}))
    answer = asked(
        client, body(config={"session": "a", "continues": True}, image_b64=text(portrait(SIDE, SIDE, 9)))
    )

    assert answer.json()["metadata"]["continued"] is False


def test_old_sessions_and_films_are_forgotten(client, tmp_path, monkeypatch):
    first = asked(client, body(config={"session": "a"})).json()["outputs"][0]["url"]
    monkeypatch.setattr(studios, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(studios, "KEPT_SECONDS", -1.0)

    again = asked(client, body(config={"session": "a", "continues": True}))

    assert again.json()["metadata"]["continued"] is False
    assert client.get(first).status_code == 404


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (body(image="/etc/passwd", image_b64=None), "path_refused"),
        (body(image="../weights", image_b64=None), "path_refused"),
        (body(audio="session/../../films/x.wav", audio_b64=None), "path_refused"),
        (body(audio="link/secret.wav", audio_b64=None), "path_refused"),
        (body(audio="a\0b", audio_b64=None), "path_refused"),
        (body(audio="nothing.wav", audio_b64=None), "audio_missing"),
        (body(image_b64=None), "image_missing"),
        (body(image_b64="%%%"), "image_unreadable"),
        (body(image_b64=text(b"no picture")), "image_unreadable"),
        (body(audio_b64=text(b"RIFFno sound")), "audio_unreadable"),
        (body(audio_b64=text(wav(rate=48_000))), "audio_unsupported"),
        (body(audio_b64=text(wav(channels=2))), "audio_unsupported"),
        (body(audio_b64=text(wav(0))), "audio_empty"),
        (body(config={"session": "../up"}), "session_invalid"),
        ({**body(), "task": "text2video"}, "task_unknown"),
        ({**body(), "inputs": []}, "invalid_request"),
    ],
)
def test_what_it_cannot_serve_is_400_with_a_code(client, tmp_path, told, code):
    (tmp_path / "secret.wav").write_bytes(wav())
    (tmp_path / "shared" / "link").symlink_to(tmp_path)

    answer = asked(client, told)

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert str(tmp_path) not in answer.text


def test_a_file_that_became_a_link_after_it_was_looked_at_is_not_followed(tmp_path):
    (tmp_path / "secret.wav").write_bytes(wav())
    (tmp_path / "sound.wav").symlink_to(tmp_path / "secret.wav")

    with pytest.raises(wishes.Refused) as refused:
        wishes._read(tmp_path / "sound.wav", "audio", 100_000)

    assert refused.value.code == "audio_unreadable"


def test_of_a_file_that_grows_no_more_is_read_than_may_be_taken(tmp_path, monkeypatch):
    grown = tmp_path / "sound.wav"
    grown.write_bytes(bytes(101))
    fstat = os.fstat
    small = os.stat_result((stat.S_IFREG | 0o600, *fstat(0)[1:6], 10, *fstat(0)[7:]))
    monkeypatch.setattr(wishes.os, "fstat", lambda _: small)

    with pytest.raises(wishes.Refused) as refused:
        wishes._read(grown, "audio", 100)

    assert refused.value.code == "audio_too_large"


def test_a_folder_and_nothing_are_no_files(tmp_path):
    for name in ("", "nothing.wav"):
        with pytest.raises(wishes.Refused) as refused:
            wishes._read(tmp_path / name, "audio", 100)
        assert refused.value.code == "audio_missing"


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_request_is_400(client, content):
    answer = client.post("/v1/generate", content=content)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("length", [str(MAX_BODY_BYTES + 1), "9" * 5000])
def test_too_long_a_sound_and_too_large_a_body_are_413(client, length):
    long = asked(client, body(audio_b64=text(wav(121 * 25))))
    with closing(HTTPConnection(client.base_url.host, client.base_url.port, timeout=20)) as line:
        line.putrequest("POST", "/v1/generate")
        line.putheader("Content-Length", length)
        line.endheaders()
        large = line.getresponse()
        told = json.loads(large.read())

    assert (long.status_code, long.json()["code"]) == (413, "audio_too_large")
    assert (large.status, told["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("side", [8000, 30_000])
def test_a_picture_that_claims_to_be_huge_is_413(client, side):
    answer = asked(client, body(image_b64=text(png_header(side, side))))

    assert (answer.status_code, answer.json()["code"]) == (413, "image_too_large")


@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}])
def test_strangers_are_refused(client, given):
    client.headers.pop("authorization")
    for answer in (
        client.post("/v1/generate", json=body(), headers=given),
        client.get("/health", headers=given),
        client.get(f"/outputs/{'0' * 24}.mp4", headers=given),
    ):
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_nothing_is_kept_of_what_strangers_send(client, monkeypatch):
    kept = []
    whole = service._Handler._body
    monkeypatch.setattr(
        service._Handler, "_body", lambda self, length: kept.append(length) or whole(self, length)
    )
    answer = client.post("/v1/generate", content=b"x" * 1_000_000, headers={"Authorization": "Bearer wrong"})

    assert answer.status_code == 401
    assert kept == []
    assert asked(client, body()).status_code == 200  # over the same connection
    assert len(kept) == 1


@pytest.mark.parametrize("path", ["/", "/outputs/../secret", f"/outputs/{'0' * 24}.mp4", "/outputs/a.mp4"])
def test_what_is_not_there_is_404(client, path):
    assert client.get(path).status_code == 404


def test_it_says_whether_it_is_busy(client):
    assert client.get("/health").json() == {"status": "ok", "busy": False}


def test_a_second_film_at_once_is_409_with_retry_after(renderer, tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    def slow(pictures, width, height) -> bytes:
        begun.set()
        assert go_on.wait(20)
        return encode(pictures, width, height)

    headers = {"Authorization": f"Bearer {KEY}"}
    with serving(renderer, tmp_path, encode=slow) as (_, address):
        answers: list[httpx.Response] = []
        first = threading.Thread(
            target=lambda: answers.append(
                httpx.post(f"{address}/v1/generate", json=body(), headers=headers, timeout=30)
            )
        )
        first.start()
        assert begun.wait(20)
        second = httpx.post(f"{address}/v1/generate", json=body(), headers=headers, timeout=30)
        busy = httpx.get(f"{address}/health", headers=headers).json()["busy"]
        go_on.set()
        first.join(30)
        third = httpx.post(f"{address}/v1/generate", json=body(), headers=headers, timeout=30)

    assert (second.status_code, second.json()["code"]) == (409, "busy")
    assert int(second.headers["retry-after"]) >= 1
    assert busy
    assert [answers[0].status_code, third.status_code] == [200, 200]


def test_live_films_come_before_others():
    turns, order, waiting = studios.Turns(20), [], []

    def take(name: str, *, live: bool) -> None:
        with turns.turn(live=live):
            order.append(name)

    with turns.turn(live=False):
        for name, live in (("clip", False), ("session", True)):
            waiting.append(threading.Thread(target=take, args=(name,), kwargs={"live": live}))
            waiting[-1].start()
            while turns._waiting < len(waiting):
                threading.Event().wait(0.005)
    for thread in waiting:
        thread.join(20)

    assert order == ["session", "clip"]


def test_a_model_that_fails_is_500_and_its_session_begins_anew(client, renderer):
    asked(client, body(config={"session": "a"}))
    network = renderer._network.forward  # type: ignore[attr-defined]
    working, network._package = network._package, None

    broken = asked(client, body(config={"session": "a", "continues": True}))
    network._package = working
    again = asked(client, body(config={"session": "a", "continues": True}))

    assert (broken.status_code, broken.json()["code"]) == (500, "generation_failed")
    assert again.json()["metadata"]["continued"] is False


def test_a_body_without_a_length_is_411(client):
    answer = client.post("/v1/generate", content=iter([json.dumps(body()).encode()]))

    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")
