"""Whatever is sent, the answer is a problem that says what is wrong and where."""

import io
import json
import socket
import struct
import threading
import time
import wave
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from uuid import uuid4

import av
import httpx
import numpy as np
import pytest

from project.bench.stack import EmbeddedStack
from tests.stack.conftest import REACHABLE
from tests.stack.customers import SECONDS, client, customer, refused
from tests.support.media import png_header, silent_video, wav
from tests.support.pictures import couple, encoded, plain, portrait

CLIPS, BATCH, AVATARS, UPLOADS = "/api/v1/clips", "/api/v1/clips/batch", "/api/v1/avatars", "/api/v1/uploads"
HOOKS = "/api/v1/webhook-endpoints"
JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def staff(stack: EmbeddedStack) -> Iterator[httpx.Client]:
    with client(stack, stack.api_key) as staff:
        yield staff


@pytest.fixture(scope="module")
def api(stack: EmbeddedStack) -> Iterator[httpx.Client]:
    """A customer who does everything wrong."""
    with client(stack, customer(stack, "clumsy@example.com")) as api:
        yield api


@pytest.fixture(autouse=True)
def _nothing_breaks(stack: EmbeddedStack) -> Iterator[None]:
    """Bad input is no reason for a process to end."""
    before = stack.pids()
    yield
    assert stack.pids() == before


# --- Avatars -------------------------------------------------------------------------------


def bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A PNG of 900 megapixels that is whole, and a few hundred kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def one_pixel() -> bytes:
    return encoded(portrait().crop((0, 0, 1, 1)))


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


PICTURES: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "a gradient": (plain, 422, "no_face"),
    "two people": (couple, 422, "several_faces"),
    "one pixel": (one_pixel, 422, "image_too_small"),
    "a bomb": (bomb, 422, "image_too_large"),
    "a header that boasts": (lambda: png_header(60_000, 60_000), 422, "image_too_large"),
    "half a PNG": (lambda: _cut(encoded(portrait())), 422, "unreadable_image"),
    "half a JPEG": (lambda: _cut(encoded(portrait(), "JPEG")), 422, "unreadable_image"),
    "a text": (lambda: b"This is not a picture at all.\n" * 40, 422, "unreadable_image"),
    "a GIF": (lambda: encoded(portrait(), "GIF"), 415, "unsupported_image"),
    "a video": (silent_video, 415, "unsupported_image"),
    "nothing": (lambda: b"", 422, "unreadable_image"),
}


@pytest.mark.parametrize("what", PICTURES)
def test_a_picture_that_cannot_become_an_avatar_is_refused_at_once(staff: httpx.Client, what: str) -> None:
    make, status, code = PICTURES[what]
    answer = staff.post(AVATARS, data={"name": "Bad"}, files={"image": ("face.png", make(), "image/png")})
    refused(answer, status, code, "/image")


VIDEOS: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "a picture": (lambda: encoded(portrait(), "PNG"), 415, "unsupported_video"),
    "a text": (lambda: b"no video\n" * 90, 422, "unreadable_video"),
    "a small video": (silent_video, 422, "video_too_small"),
    "half a video": (lambda: _cut(silent_video()), 422, "unreadable_video"),
    "sound": (lambda: wav(np.zeros(48_000, np.int16)), 415, "unsupported_video"),
}


@pytest.mark.parametrize("what", VIDEOS)
def test_a_video_that_cannot_become_an_avatar_is_refused_at_once(staff: httpx.Client, what: str) -> None:
    make, status, code = VIDEOS[what]
    answer = staff.post(AVATARS, data={"name": "Bad"}, files={"video": ("clip.mp4", make(), "video/mp4")})
    refused(answer, status, code, "/video")


HUGE = "1" + "0" * 400
FIELDS = [
    ({"name": ""}, "/name"),
    ({"name": "x" * 121}, "/name"),
    ({"name": "a\x00b"}, "/name"),
    ({"name": "Ann", "slug": "no spaces!"}, "/slug"),
    ({"name": "Ann", "model": "nobody"}, "/model"),
    ({"name": "Ann", "default_voice": "nobody"}, "/default_voice"),
    ({"name": "Ann", "mouth_box": "{"}, "/mouth_box"),
    ({"name": "Ann", "mouth_box": '{"left": 0, "top": 0, "right": 2, "bottom": 1}'}, "/mouth_box"),
    (
        {"name": "Ann", "mouth_box": f'{{"left": 0, "top": 0, "right": {HUGE}, "bottom": 1}}'},
        "/mouth_box/right",
    ),
    ({"name": "Ann", "mouth_box": "[" * 100_000}, "/mouth_box"),
    ({"name": "Ann", "metadata": '{"a":' * 930 + "1" + "}" * 930}, "/metadata"),
    ({"name": "Ann", "metadata": '{"a": NaN}'}, "/metadata/a"),
    ({"name": "Ann", "metadata": "[1]"}, "/metadata"),
    ({"name": "Ann", "consent": '{"by": 7, "at": "yesterday"}'}, "/consent/at"),
    ({"name": "Ann", "ai_disclosure": "perhaps"}, "/ai_disclosure"),
]


@pytest.mark.parametrize(("form", "pointer"), FIELDS)
def test_a_field_of_a_new_avatar_is_named(staff: httpx.Client, form: dict[str, str], pointer: str) -> None:
    answer = staff.post(
        AVATARS, data=form, files={"image": ("face.png", encoded(portrait("lena")), "image/png")}
    )
    assert 400 <= answer.status_code < 500, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]], answer.text


def test_an_avatar_needs_exactly_one_source(staff: httpx.Client) -> None:
    face = ("face.png", plain(), "image/png")
    refused(staff.post(AVATARS, data={"name": "A"}, files={"x": face}), 400, "source_required", "/image")
    both = {"image": face, "video": ("v.mp4", silent_video(), "video/mp4")}
    refused(staff.post(AVATARS, data={"name": "A"}, files=both), 400, "source_required", "/image")


def test_customers_make_no_avatars(api: httpx.Client) -> None:
    answer = api.post(AVATARS, data={"name": "A"}, files={"image": ("face.png", plain(), "image/png")})
    assert answer.status_code == 403


# --- Uploads -------------------------------------------------------------------------------


def three_hours(codec: str, kind: str, rate: int) -> bytes:
    """Silence that unpacks to three hours."""
    out = io.BytesIO()
    with av.open(out, "w", format=kind) as container:
        stream = cast("av.AudioStream", container.add_stream(codec, rate=rate, layout="mono"))
        stream.bit_rate = 8000
        size = stream.codec_context.frame_size or 1152
        kinds = {"s32p": np.int32, "s16p": np.int16, "fltp": np.float32}
        silence = np.zeros((1, size), kinds[stream.format.name])
        frame = av.AudioFrame.from_ndarray(silence, format=stream.format.name, layout="mono")
        frame.sample_rate = rate
        for block in range(3 * 3600 * rate // size + 1):
            frame.pts = block * size
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def wave_that_lies() -> bytes:
    """One second of sound under a header that promises three hours."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(16_000))
    data = bytearray(out.getvalue())
    data[40:44] = struct.pack("<I", 3 * 3600 * 16_000)
    return bytes(data)


UPLOADED: dict[str, tuple[str, Callable[[], bytes], int, str]] = {
    "three hours of MP3": ("long.mp3", lambda: three_hours("libmp3lame", "mp3", 8000), 400, "too_long"),
    "a text": ("song.mp3", lambda: b"la la la\n" * 500, 415, "unreadable_media"),
    "random bytes": ("song.mp3", lambda: np.random.default_rng(3).bytes(40_000), 415, "unreadable_media"),
    "a silent video": ("song.mp3", silent_video, 415, "no_audio"),
    "nothing": ("song.mp3", lambda: b"", 400, "file_empty"),
    "a bomb": ("scene.png", bomb, 413, "image_too_large"),
    "half a PNG": ("scene.png", lambda: _cut(plain()), 415, "unreadable_image"),
    "too little sound": ("hm.wav", lambda: wav(np.zeros(48, np.int16)), 400, "too_short"),
}


@pytest.mark.parametrize("what", UPLOADED)
def test_a_file_that_cannot_be_used_is_refused_at_once(api: httpx.Client, what: str) -> None:
    name, make, status, code = UPLOADED[what]
    refused(api.post(UPLOADS, files={"file": (name, make())}), status, code, "/file")


def test_a_header_that_promises_three_hours_counts_for_nothing(api: httpx.Client) -> None:
    answer = api.post(UPLOADS, files={"file": ("long.wav", wave_that_lies())})
    assert answer.status_code == 201, answer.text
    assert answer.json()["duration_ms"] == 1000


def test_an_upload_needs_a_file(api: httpx.Client) -> None:
    refused(api.post(UPLOADS, files={"other": ("a.wav", b"RIFF")}), 400, "file_required", "/file")
    refused(api.post(UPLOADS, json={"file": "a.wav"}), 415, "unsupported_media_type")


def test_a_form_that_ends_early_is_no_form(api: httpx.Client) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'
    for given in (body, b"", b"--x", b"--x--\r\n", b"\x00" * 100):
        answer = api.post(UPLOADS, content=given, headers={"Content-Type": "multipart/form-data; boundary=x"})
        assert answer.status_code in (400, 415), (given, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    answer = api.post(UPLOADS, content=body, headers={"Content-Type": "multipart/form-data"})
    assert answer.status_code == 400, answer.text


def test_the_name_of_a_file_leads_nowhere(api: httpx.Client) -> None:
    sound = wav(np.zeros(48_000, np.int16))
    for name in ("../../etc/passwd", "a\x00b.wav", "x" * 5000 + ".wav", "مرحبا.wav", "CON", ".wav"):
        answer = api.post(UPLOADS, files={"file": (name, sound)})
        assert answer.status_code in (201, 400), (name, answer.text)


# --- Clips: what is said ---------------------------------------------------------------------


@pytest.mark.parametrize("script", ["", "   \n\t ", "…!?", "\u200b\u200f", "🎉🎉🎉", "👩‍👩‍👧‍👦"])
def test_a_script_with_nothing_to_say_is_refused(api: httpx.Client, avatar: str, script: str) -> None:
    refused(api.post(CLIPS, json={"avatar": avatar, "script": script}), 400, "nothing_to_say", "/script")


def test_a_clip_needs_something_to_say(api: httpx.Client, avatar: str) -> None:
    refused(api.post(CLIPS, json={"avatar": avatar}), 400, "nothing_to_say", "/script")
    two = {"avatar": avatar, "script": "Hello.", "audio_url": "https://example.com/a.mp3"}
    refused(api.post(CLIPS, json=two), 400, "too_many_sources", "/audio_url")


@pytest.mark.parametrize("script", ["x" * 100_000, "Hello there. " * 8000, "你好" * 50_000])
def test_a_script_of_100_000_characters_is_refused(api: httpx.Client, avatar: str, script: str) -> None:
    answer = api.post(CLIPS, json={"avatar": avatar, "script": script})
    refused(answer, 400, "script_too_long", "/script")
    answer = api.post(f"{CLIPS}/estimate", json={"script": script})
    refused(answer, 400, "script_too_long", "/script")


def ended(api: httpx.Client, clip_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        clip: dict[str, Any] = api.get(f"{CLIPS}/{clip_id}").json()
        if clip["status"] in ("succeeded", "failed"):
            return clip
        time.sleep(0.5)
    raise AssertionError(f"{clip_id} did not end")


@pytest.mark.parametrize("script", ["مرحبا بكم في هذا الفيديو", "שלום לכולם", "\u202eolleh\u202c Hi."])
def test_right_to_left_text_is_spoken_or_refused_by_name(api: httpx.Client, avatar: str, script: str) -> None:
    answer = api.post(CLIPS, json={"avatar": avatar, "script": script})
    if answer.status_code != 202:
        assert answer.status_code == 400, answer.text
        assert answer.json()["errors"][0]["pointer"] == "/script"
        return
    clip = ended(api, answer.json()["id"])
    assert clip["status"] == "succeeded" or clip["failure"]["code"], clip
    if clip["status"] == "succeeded":
        assert clip["result"]["duration_ms"] >= 400


# --- Clips: fields ---------------------------------------------------------------------------

BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"avatar": "avt_0"}, "/avatar"),
    ({"avatar": ""}, "/avatar"),
    ({"avatar": None}, "/avatar"),
    ({"avatar": ["lena"]}, "/avatar"),
    ({"avatar": {"id": 1}}, "/avatar"),
    ({"avatar": "x" * 5000}, "/avatar"),
    ({"voice": "nobody"}, "/voice"),
    ({"voice": 7.5}, "/voice"),
    ({"model": "gpt"}, "/model"),
    ({"script": 12 * [1]}, "/script"),
    ({"script": None, "upload": "upl_0"}, "/script"),
    ({"script": "a\u0000b"}, "/script"),
    ({"upload": "upl_0", "script": ""}, "/upload"),
    ({"speed": "fast"}, "/speed"),
    ({"speed": 0}, "/speed"),
    ({"speed": -1}, "/speed"),
    ({"speed": 1e300}, "/speed"),
    ({"speed": 10**400}, "/speed"),
    ({"speed": True}, "/speed"),
    ({"aspect_ratio": "5:3"}, "/aspect_ratio"),
    ({"aspect_ratio": [16, 9]}, "/aspect_ratio"),
    ({"background": "blue"}, "/background"),
    ({"background": {"upload": 7}}, "/background/upload"),
    ({"background": {"upload": "upl_0"}}, "/background/upload"),
    ({"background": [1, 2]}, "/background"),
    ({"captions": "none of them"}, "/captions"),
    ({"metadata": "text"}, "/metadata"),
    ({"metadata": [1]}, "/metadata"),
    ({"metadata": {"n": 10**400}}, "/metadata/n"),
    ({"metadata": {"a/b": "\u0000"}}, "/metadata/a~1b"),
    ({"metadata": {"big": "x" * 9000}}, "/metadata"),
    ({"callback_url": 5}, "/callback_url"),
    ({"callback_url": "ftp://example.com/"}, "/callback_url"),
    ({"callback_url": "https://user:pass@example.com/"}, "/callback_url"),
]


@pytest.mark.parametrize(("change", "pointer"), BAD_FIELDS)
def test_a_field_of_a_clip_is_named(
    api: httpx.Client, avatar: str, change: dict[str, Any], pointer: str
) -> None:
    wish = {"avatar": avatar, "script": "Hello.", **change}
    answer = api.post(CLIPS, json=wish)
    assert answer.status_code == 400, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]], answer.text
    answer = api.post(BATCH, json={"clips": [{"avatar": avatar, "script": "Good."}, wish]})
    assert answer.status_code == 400, answer.text
    assert f"/clips/1{pointer}" in [error["pointer"] for error in answer.json()["errors"]], answer.text


def test_a_batch_with_a_bad_clip_makes_none(api: httpx.Client, avatar: str) -> None:
    before = api.get(CLIPS).json()["results"]
    good, bad = {"avatar": avatar, "script": "Good."}, {"avatar": avatar, "script": ""}
    answer = api.post(BATCH, json={"clips": [good] * 20 + [bad]})
    refused(answer, 400, "nothing_to_say", "/clips/20/script")
    for clips in ([], [good] * 101, "all", {"0": good}, None):
        answer = api.post(BATCH, json={"clips": clips})
        assert answer.status_code == 400, (clips, answer.text)
        assert answer.json()["errors"][0]["pointer"].startswith("/clips"), answer.text
    assert [clip["id"] for clip in api.get(CLIPS).json()["results"]] == [clip["id"] for clip in before]


# --- Bodies ----------------------------------------------------------------------------------

BODIES: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "invalid"),
    "half": (b'{"avatar": "lena"', 400, "malformed_body"),
    "no quotes": (b"{avatar: lena}", 400, "malformed_body"),
    "NaN": (b'{"avatar": "lena", "speed": NaN}', 400, "malformed_body"),
    "infinity": (b'{"avatar": "lena", "speed": 1e999}', 400, "invalid_number"),
    "endless digits": (b'{"avatar": "lena", "speed": ' + b"9" * 10_000 + b"}", 400, "malformed_body"),
    "Latin 1": ('{"avatar": "é"}'.encode("latin-1"), 400, "malformed_body"),
    "UTF-16": ('{"avatar": "lena"}'.encode("utf-16"), 400, "malformed_body"),
    "half a pair": (b'{"avatar": "lena", "script": "\\ud800"}', 400, "invalid_text"),
    "a NUL in a name": (b'{"avatar": "lena", "a\\u0000": 1}', 400, "invalid_text"),
    "deep arrays": (b"[" * 500_000 + b"]" * 500_000, 400, "malformed_body"),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "malformed_body"),
    "a name twice": (b'{"avatar": "lena", "script": "A", "script": "B"}', 400, "duplicate_name"),
    "an array": (b"[]", 400, "invalid"),
    "a text": (b'"lena"', 400, "invalid"),
    "null": (b"null", 400, "invalid"),
    "a number": (b"1", 400, "invalid"),
}


@pytest.mark.parametrize("path", [CLIPS, BATCH, HOOKS, "/api/v1/api-keys"])
@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_is_no_decent_json_is_refused(api: httpx.Client, path: str, what: str) -> None:
    body, status, code = BODIES[what]
    refused(api.post(path, content=body, headers=JSON), status, code)


@pytest.mark.parametrize("depth", [50, 300, 600, 900, 990])
def test_depth_never_breaks_what_comes_after_the_parser(api: httpx.Client, depth: int) -> None:
    """Nesting that the parser still takes must not be too deep for the rest."""
    for name in ("metadata", "background"):
        inner = '{"a":' * depth + "1" + "}" * depth
        body = f'{{"avatar": "lena", "script": "", "{name}": {inner}}}'
        headers = {**JSON, "Idempotency-Key": str(uuid4())}
        answer = api.post(CLIPS, content=body.encode(), headers=headers)
        assert answer.status_code == 400, (name, answer.text)
        if 100 < depth <= 900:
            refused(answer, 400, "nested_too_deeply", f"/{name}")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "x"])
def test_a_body_of_another_type_is_refused(api: httpx.Client, kind: str) -> None:
    for path in (CLIPS, BATCH, HOOKS):
        answer = api.post(path, content=b'{"avatar": "lena"}', headers={"Content-Type": kind})
        refused(answer, 415, "unsupported_media_type")


def test_a_body_that_is_too_large_is_refused_before_it_is_read(api: httpx.Client) -> None:
    large = json.dumps({"avatar": "lena", "script": "x" * 3 * MIB}).encode()
    refused(api.post(CLIPS, content=large, headers=JSON), 413, "body_too_large")

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * MIB

    try:
        answer = api.post(CLIPS, content=pieces(), headers=JSON)
    except httpx.TransportError:  # cut off while we were still sending
        return
    refused(answer, 413, "body_too_large")


def test_a_length_that_is_a_lie_hangs_nobody(stack: EmbeddedStack, api: httpx.Client) -> None:
    host, port = httpx.URL(stack.base_url).host, httpx.URL(stack.base_url).port
    head = f"POST {CLIPS} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    for length in ("99999999999999", "-1", "many", "10\r\nContent-Length: 20"):
        with socket.create_connection((host, port or 80), timeout=SECONDS) as connection:
            connection.sendall(f"{head}Content-Length: {length}\r\n\r\n{{}}".encode())
            got = connection.recv(400)
        assert got.startswith((b"HTTP/1.1 4", b"")), got
        assert not got.startswith(b"HTTP/1.1 5"), got
    assert api.get("/api/v1/me").status_code == 200


# --- Ids and queries ---------------------------------------------------------------------------

STRANGE = ["clip_0", "x" * 3000, "..%2f..%2fetc", "%F0%9F%8E%89", "'%20OR%201=1--", "%ff%fe", "-1", "1e999"]


@pytest.mark.parametrize("strange", STRANGE)
def test_an_id_of_nothing_is_not_found(api: httpx.Client, strange: str) -> None:
    paths = [CLIPS, AVATARS, HOOKS, "/api/v1/api-keys", "/api/v1/callback-deliveries"]
    for path in paths:
        refused(api.get(f"{path}/{strange}"), 404, api.get(f"{path}/{strange}").json()["code"])
    for below in ("video", "poster", "captions.srt", "preview.m3u8", "preview/video.m3u8", "events"):
        answer = api.get(f"{CLIPS}/{strange}/{below}")
        assert answer.status_code == 404, (below, answer.text)
    assert api.post(f"{CLIPS}/{strange}/cancel").status_code == 404
    assert api.delete(f"{CLIPS}/{strange}").status_code == 404


def test_a_nul_in_an_address_is_refused(api: httpx.Client) -> None:
    refused(api.get(f"{CLIPS}/a%00b"), 400, "bad_request")
    refused(api.get(f"{CLIPS}?q=%00"), 400, "bad_request")


QUERIES = [
    "limit=many",
    "limit=0",
    "limit=-1",
    "limit=99999999999999999999999",
    "cursor=nonsense",
    "cursor=AAAA",
    "cursor=%F0%9F",
    "status=odd",
    "created_after=yesterday",
    "created_after=2026-13-45T00:00:00Z",
    "created_before=9999-12-31T23:59:59%2B99:99",
    f"ids={','.join(['clip_0'] * 200)}",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_question_that_makes_no_sense_is_refused(api: httpx.Client, query: str) -> None:
    answer = api.get(f"{CLIPS}?{query}")
    if query.startswith("limit=9999"):
        assert answer.status_code in (200, 400), answer.text
        return
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"]


# --- Idempotency -------------------------------------------------------------------------------


def test_a_reused_key_replays_the_same_and_refuses_another(api: httpx.Client, avatar: str) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    wish = {"avatar": avatar, "script": "Once only."}
    first = api.post(CLIPS, json=wish, headers=headers)
    again = api.post(CLIPS, json=dict(reversed(wish.items())), headers=headers)
    assert (first.status_code, again.status_code) == (202, 202), first.text
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    other = api.post(CLIPS, json={**wish, "script": "Twice."}, headers=headers)
    refused(other, 422, "idempotency_key_reused")
    assert api.post(f"{CLIPS}/{first.json()['id']}/cancel").status_code in (200, 202)


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "ключ".encode()])
def test_an_idempotency_key_must_be_plain(api: httpx.Client, avatar: str, key: str | bytes) -> None:
    raw = key if isinstance(key, bytes) else key.encode()
    answer = api.post(CLIPS, json={"avatar": avatar, "script": "A."}, headers=[(b"Idempotency-Key", raw)])
    refused(answer, 400, "invalid_idempotency_key")


# --- Addresses inside ----------------------------------------------------------------------------

INSIDE = [
    "http://127.0.0.1/a.mp3",
    "http://127.1/",
    "http://localhost/",
    "http://LOCALHOST.:8080/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://017700000001/",
    "http://127.0.0.1:80%2f@example.com/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
]


def inside_names() -> list[str]:
    """Names of this machine that lead back into it: what DNS would answer for a rebinding host."""
    return [
        f"http://{name}/" for name in ("localhost", "ip6-localhost", "localhost.localdomain") if _known(name)
    ]


def _known(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, 80))
    except OSError:
        return False


@pytest.mark.parametrize("url", [*INSIDE, *inside_names()])
def test_an_address_inside_is_refused_everywhere(api: httpx.Client, avatar: str, url: str) -> None:
    asked = [
        (CLIPS, {"avatar": avatar, "audio_url": url}, "/audio_url"),
        (CLIPS, {"avatar": avatar, "script": "Hi.", "callback_url": url}, "/callback_url"),
        (BATCH, {"clips": [{"avatar": avatar, "audio_url": url}]}, "/clips/0/audio_url"),
        (HOOKS, {"url": url}, "/url"),
    ]
    for path, body, pointer in asked:
        answer = api.post(path, json=body)
        code = answer.json()["code"]
        assert code in ("address_not_allowed", "invalid_url", "address_not_found"), answer.text
        refused(answer, 400, code, pointer)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http://",
        "http:///a",
        "http://a b/",
        "http://example.com:99999/",
        "javascript:alert(1)",
        "http://\u0000/",
        "//example.com/",
        "http://[::1",
        "http://" + "a" * 3000,
    ],
)
def test_what_is_no_address_is_refused(api: httpx.Client, avatar: str, url: str) -> None:
    answer = api.post(CLIPS, json={"avatar": avatar, "audio_url": url})
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["pointer"] in ("/audio_url", "/script")
    answer = api.post(HOOKS, json={"url": url})
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["pointer"] == "/url"


class Redirector(BaseHTTPRequestHandler):
    """A server that may be called, and sends its callers where they may not go."""

    target = ""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.target)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Secret(BaseHTTPRequestHandler):
    """A server inside; being asked at all is the failure."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def redirector() -> Iterator[str]:
    servers = [ThreadingHTTPServer((REACHABLE, 0), Redirector), ThreadingHTTPServer(("127.0.0.1", 0), Secret)]
    Secret.asked = 0
    Redirector.target = f"http://127.0.0.1:{servers[1].server_address[1]}/secret.mp3"
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{REACHABLE}:{servers[0].server_address[1]}/song.mp3"
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_redirect_to_an_address_inside_is_not_followed(
    api: httpx.Client, avatar: str, redirector: str
) -> None:
    answer = api.post(CLIPS, json={"avatar": avatar, "audio_url": redirector})
    assert answer.status_code == 202, answer.text
    clip = ended(api, answer.json()["id"])
    assert (clip["status"], clip["failure"]["code"]) == ("failed", "address_not_allowed")
    assert Secret.asked == 0
