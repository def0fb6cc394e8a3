import io
import wave

import numpy as np
import pytest
from PIL import Image

from generation.uploads.models import Upload
from tests.support.clips import ready_avatar

pytestmark = pytest.mark.django_db(transaction=True)


def sound(seconds: float = 2.0, rate: int = 22_050) -> bytes:
    out = io.BytesIO()
    tone = np.sin(np.arange(int(rate * seconds)) / 20) * 9000
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(tone.astype("<i2").tobytes())
    return out.getvalue()


def picture(size=(300, 200), kind="PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (200, 40, 40)).save(out, kind)
    return out.getvalue()


@pytest.fixture
def send(api, alice, objects):
    def upload(name: str, data: bytes):
        file = io.BytesIO(data)
        file.name = name
        return api(alice).post("/api/v1/uploads", {"file": file}, format="multipart")

    return upload


def test_sound_is_decoded_and_kept(send, objects) -> None:
    answer = send("hello.wav", sound())
    assert answer.status_code == 201
    told = answer.json()
    assert (told["kind"], told["duration_ms"], told["sample_rate"]) == ("audio", 2000, 22_050)
    row = Upload.objects.get(pk=told["id"])
    assert row.original_key.endswith("/original.wav")
    assert abs(len(objects.objects[row.pcm_key]) - 2 * 96_000) < 400


def test_a_picture_is_measured(send) -> None:
    told = send("wall.png", picture()).json()
    assert (told["kind"], told["width"], told["height"]) == ("image", 300, 200)


def test_the_content_counts_not_the_name(send) -> None:
    assert send("notes.txt", sound()).json()["kind"] == "audio"
    assert send("song.mp3", picture(kind="JPEG")).json()["kind"] == "image"
    assert Upload.objects.get(kind="audio").original_key.endswith("/original.txt")


@pytest.mark.parametrize(
    ("name", "data", "status", "code"),
    [
        ("a.wav", b"RIFF\x00\x00", 415, "unreadable_media"),
        ("a.wav", sound()[:2000], 415, "unreadable_media"),
        ("a.txt", b"just some words", 415, "unreadable_media"),
        ("a.png", picture()[:60], 415, "unreadable_image"),
        ("a.png", picture((1, 1)), 400, "image_too_small"),
        ("a.wav", sound(0.02), 400, "too_short"),
        ("a.wav", b"", 400, "file_empty"),
        ("../../x.sh", b"#!/bin/sh", 415, "unreadable_media"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_a_reason(send, name, data, status, code) -> None:
    answer = send(name, data)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["errors"][0]["pointer"] == "/file"
    assert not Upload.objects.exists()


def test_a_small_file_with_a_huge_picture_is_refused(send) -> None:
    out = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(out, "PNG")
    answer = send("bomb.png", out.getvalue())
    assert (answer.status_code, answer.json()["code"]) == (413, "image_too_large")


def test_sound_that_is_too_long_is_refused(send, settings) -> None:
    settings.MAX_CLIP_SECONDS = 1
    answer = send("long.wav", sound(2.0))
    assert (answer.status_code, answer.json()["code"]) == (400, "too_long")


def test_a_form_without_a_file_says_so(api, alice) -> None:
    answer = api(alice).post("/api/v1/uploads", {"other": "x"}, format="multipart")
    assert (answer.status_code, answer.json()["code"]) == (400, "file_required")


def test_an_upload_of_somebody_else_cannot_be_used(send, api, mallory, objects) -> None:
    upload_id = send("hello.wav", sound()).json()["id"]
    body = {"avatar": ready_avatar(objects).pk, "upload": upload_id}
    answer = api(mallory).post("/api/v1/clips", body, format="json")
    assert answer.json()["errors"][0]["code"] == "upload_not_found"


@pytest.fixture
def speaking_broker(broker, voice):
    return broker


def test_uploaded_sound_drives_the_avatar_as_long_as_it_lasts(send, api, alice, objects, broker) -> None:
    upload_id = send("hello.wav", sound(12.5)).json()["id"]
    body = {"avatar": ready_avatar(objects).pk, "upload": upload_id}
    clip_id = api(alice).post("/api/v1/clips", body, format="json").json()["id"]
    broker.run()
    clip = api(alice).get(f"/api/v1/clips/{clip_id}").json()
    assert clip["status"] == "succeeded"
    assert abs(clip["result"]["duration_ms"] - 12_500) <= 40


def test_a_background_stands_behind_an_avatar_that_can_be_seen_through(
    send, api, alice, objects, speaking_broker
) -> None:
    upload_id = send("wall.png", picture()).json()["id"]
    avatar = ready_avatar(objects, has_alpha=True)
    for background in ({"upload": upload_id}, "#00FF00"):
        body = {"avatar": avatar.pk, "script": "Hello.", "background": background, "aspect_ratio": "16:9"}
        clip_id = api(alice).post("/api/v1/clips", body, format="json").json()["id"]
        speaking_broker.run()
        result = api(alice).get(f"/api/v1/clips/{clip_id}").json()["result"]
        assert result["width"] > result["height"]
