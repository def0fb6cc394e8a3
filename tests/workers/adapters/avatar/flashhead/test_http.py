"""FlashHead over HTTP: what is asked, which answers are believed, and what becomes of films."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support import drawn_frames
from tests.support.flashhead.http import FlashHeadFake
from tests.support.http_service import served
from tests.support.models import config
from tests.support.remote import HEIGHT, WIDTH, bundled, portrait, sound, sums, window
from workers.adapters import registry
from workers.adapters.avatar import film as films
from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.flashhead import client, http, places
from workers.adapters.avatar.flashhead.http import FlashHeadHttp
from workers.adapters.avatar.pictures import to_i420
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.errors import AdapterError
from workers.rendering.demux import read_fragment
from workers.rendering.foreign import parameter_sets
from workers.rendering.fragment import render_fragment

KEY = "key-of-the-service"


def made(service: FlashHeadFake, **options) -> FlashHeadHttp:
    told = config("flashhead", {"FLASHHEAD_URL": service.origin, "FLASHHEAD_API_KEY": service.key})
    options = {"timeout_seconds": 5.0, "live_timeout_seconds": 5.0, **options}
    told = replace(
        told,
        profile=replace(told.profile, width=WIDTH, height=HEIGHT),
        options={**told.options, "busy_seconds": 1.0, "live_busy_seconds": 0.1, **options},
    )
    renderer = registry.renderer(told, Runtime(Alone(), told.endpoint))
    assert isinstance(renderer, FlashHeadHttp)
    return renderer


@contextmanager
def talking(
    service: FlashHeadFake, *, seed: int = 3, **options
) -> Iterator[tuple[FlashHeadHttp, http.HttpStream]]:
    with ExitStack() as running:
        if not service.origin:
            running.enter_context(served(service))
        renderer = made(service, **options)
        stream = renderer.open_stream(renderer.load(bundled(seed=seed)))
        running.callback(renderer.close_stream, stream)
        yield renderer, stream


def pictures(renderer, stream, heard) -> list[np.ndarray]:
    poses = renderer.infer(stream, renderer.extract_features(stream, heard))
    return [renderer.compose_frame(stream, pose).copy() for pose in poses]


def codes(renderer, stream, heard) -> list[drawn_frames.Code]:
    return [drawn_frames.read(picture) for picture in pictures(renderer, stream, heard)]


def fails(service: FlashHeadFake, *ways: str, **options) -> AdapterError:
    with talking(service, **options) as (renderer, stream):
        service.misbehave(*ways)
        with pytest.raises(AdapterError) as caught:
            pictures(renderer, stream, window(sound(24), 0, 24))
    return caught.value


# --- Asking ----------------------------------------------------------------------------------


def test_pictures_and_sound_travel_inside_where_no_folder_is_shared():
    service = FlashHeadFake(KEY, sessions=True)
    pcm = sound(48)
    with talking(service) as (renderer, stream):
        found = codes(renderer, stream, window(pcm, 0, 24)) + codes(renderer, stream, window(pcm, 24, 24))

    assert [code.sound for code in found] == sums(pcm, range(48))
    assert [code.number for code in found] == list(range(48))
    assert {code.face for code in found} == {drawn_frames.face_sum(portrait())}
    assert stream.seams == []
    first, second = service.requests
    assert (first["task"], first["model"]) == ("audio2video", "soulx-flashhead-1.3b")
    assert (first["config"]["preset"], first["config"]["fps"]) == ("balanced", 25)
    assert [body["config"]["continues"] for body in (first, second)] == [False, True]


@pytest.mark.parametrize("names", ["path", "relative", "url", "both", "plain"])
def test_a_film_is_found_however_it_is_named(tmp_path, names):
    shared, output = tmp_path / "shared", tmp_path / "output"
    output.mkdir()
    service = FlashHeadFake(shared=shared, output=output, names=names)
    with served(service):
        folders = {"shared_dir": str(shared), "output_dir": str(output), "output_url": service.origin}
        if names == "both":
            folders["output_dir"] = ""
        with talking(service, **folders) as (renderer, stream):
            found = codes(renderer, stream, window(sound(24), 0, 24))

    assert [code.sound for code in found] == sums(sound(24), range(24))
    assert bool(service.fetched) == (names in ("url", "both"))


def test_files_are_put_where_the_service_sees_them_and_taken_away_again(tmp_path):
    service = FlashHeadFake(shared=tmp_path, names="path")
    with talking(service, shared_dir=str(tmp_path)) as (renderer, stream):
        codes(renderer, stream, window(sound(24), 0, 24))
        (session,) = tmp_path.glob("session_*")
        assert sorted(path.name for path in session.iterdir()) == [".parley", "reference.png"]
        assert (session / "reference.png").read_bytes() == portrait()

    inputs = service.requests[0]["inputs"]
    assert inputs == {"image": f"{session}/reference.png", "audio": f"{session}/chunk_00000001.wav"}
    assert not list(tmp_path.glob("session_*"))


def test_the_service_may_know_the_folders_by_other_names(tmp_path):
    told = places.Places("/here/in", "/there/in", str(tmp_path), "/there/out")
    exchange = places.Exchange(replace(told, shared_local=str(tmp_path)))
    name = exchange.put("a.wav", b"abc")

    assert name.startswith("/there/in/session_")
    assert (tmp_path / Path(name).relative_to("/there/in")).read_bytes() == b"abc"
    assert told.find("/there/out/films/a.mp4") == tmp_path / "films/a.mp4"
    assert told.find("/there/in/session_x/a.mp4") == Path("/here/in/session_x/a.mp4")
    exchange.close()


def test_what_a_killed_worker_left_in_the_folder_is_cleared_by_a_later_one(tmp_path):
    left, others = tmp_path / "session_0123456789ab", tmp_path / "session_of_others"
    for folder in (left, others):
        folder.mkdir()
    (left / places.MARK).touch()
    old = time.time() - places.STALE_SECONDS - 1
    os.utime(left / places.MARK, (old, old))

    places.Exchange(places.Places(shared_local=str(tmp_path))).close()

    assert [path.name for path in tmp_path.iterdir()] == [others.name]


def test_keys_that_a_service_refuses_are_left_out_from_then_on():
    service = FlashHeadFake(strict=True)
    with talking(service) as (renderer, stream):
        codes(renderer, stream, window(sound(24), 0, 24))
        refused = len(service.requests) - 1
        codes(renderer, stream, window(sound(48), 24, 24))

    assert refused == 4  # it names one at a time: continues, fps, live, session
    assert set(service.requests[-1]["config"]) == {"preset"}
    assert len(service.requests) == refused + 2


def test_more_can_be_said_in_the_request():
    service = FlashHeadFake()
    with talking(service, config='{"seed": 7}', preset="fast") as (renderer, stream):
        codes(renderer, stream, window(sound(24), 0, 24))

    assert service.requests[0]["config"]["seed"] == 7
    assert service.requests[0]["config"]["preset"] == "fast"


@pytest.mark.parametrize("told", ["{", "[1]"])
def test_a_setting_that_is_no_object_is_named(told):
    with pytest.raises(ValueError, match="FLASHHEAD_CONFIG"):
        http.HttpOptions.read({"config": told})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout_seconds", -5.0),
        ("timeout_seconds", 0),
        ("live_timeout_seconds", float("nan")),
        ("live_timeout_seconds", float("inf")),
        ("busy_seconds", -0.1),
        ("live_busy_seconds", 1e9),
        ("crossfade_frames", -1),
        ("crossfade_frames", 26),
    ],
)
def test_a_number_without_sense_is_named(name, value):
    with pytest.raises(ValueError, match=rf"options\.{name} is"):
        http.HttpOptions.read({name: value})


def test_a_setting_without_sense_is_a_refusal_of_the_model_not_an_accident():
    with pytest.raises(AdapterError, match="FLASHHEAD_CONFIG") as caught:
        made(FlashHeadFake(), config="{")

    assert (caught.value.code, caught.value.retryable) == ("model_rejected", False)


def test_an_option_that_nobody_knows_is_named():
    with pytest.raises(ValueError, match=r"options\.spead is unknown"):
        http.HttpOptions.read({"spead": 1})


# --- Films -----------------------------------------------------------------------------------


def rendered(renderer, stream, heard, **options):
    return render_fragment(renderer, stream, heard, width=WIDTH, height=HEIGHT, **options)


def test_a_film_of_a_service_that_encodes_as_we_do_is_passed_through():
    service = FlashHeadFake(sessions=True)
    with talking(service) as (renderer, stream):
        fragment = rendered(renderer, stream, window(sound(24), 0, 24))

    assert fragment.data in service.films.values()
    assert len(service.requests) == 1


def test_a_foreign_film_is_encoded_once():
    service = FlashHeadFake(sessions=True, foreign=True)
    with talking(service) as (renderer, stream):
        fragment = rendered(renderer, stream, window(sound(24), 0, 24))

    assert fragment.data not in service.films.values()
    assert parameter_sets(WIDTH, HEIGHT)[0] in read_fragment(fragment.data).entry
    shown = films.pictures(fragment.data, films.Limits(24, WIDTH, HEIGHT))
    assert [drawn_frames.read(picture).sound for picture in shown] == sums(sound(24), range(24))
    assert len(service.requests) == 1


def test_films_of_a_service_without_sessions_grow_out_of_each_other():
    service = FlashHeadFake()
    pcm = sound(48)
    with talking(service) as (renderer, stream):
        before = rendered(renderer, stream, window(pcm, 0, 24))
        begun = pictures(renderer, stream, window(pcm, 24, 24))

    assert before.data in service.films.values()
    assert stream.seams == [24]
    last = list(films.pictures(before.data, films.Limits(24, WIDTH, HEIGHT)))[-1].astype(int)
    alone = list(films.pictures(list(service.films.values())[1], films.Limits(24, WIDTH, HEIGHT)))
    apart = [np.abs(begun[n].astype(int) - alone[n]).mean() for n in range(6)]
    assert np.abs(begun[0].astype(int) - last).mean() < np.abs(alone[0].astype(int) - last).mean() / 2
    assert apart[0] > apart[1] > apart[2] > apart[3] > 0
    assert apart[4:] == [0, 0]


def test_a_session_that_the_service_lost_is_a_seam():
    service = FlashHeadFake(sessions=True)
    with talking(service) as (renderer, stream):
        codes(renderer, stream, window(sound(72), 0, 24))
        service.given.clear()
        codes(renderer, stream, window(sound(72), 24, 24))
        codes(renderer, stream, window(sound(72), 48, 24))

    assert stream.seams == [24]


def test_a_reply_begins_at_the_portrait_and_fades_in_and_out_of_the_idle_loop():
    service = FlashHeadFake(sessions=True)
    pcm = sound(48)
    with talking(service) as (renderer, stream):
        still = renderer.load(bundled()).picture
        rendered(renderer, stream, window(pcm, 0, 24, live=True))
        shown = pictures(renderer, stream, window(pcm, 100, 24, live=True, first=True, last=True))
        fragment = rendered(renderer, stream, window(pcm, 200, 24, live=True, first=True, last=True))

    assert [body["config"]["continues"] for body in service.requests] == [False, False, False]
    assert {body["config"]["live"] for body in service.requests} == {True}
    assert stream.seams == []
    assert fragment.data not in service.films.values()
    # The loop of this bundle is the still portrait; what the service draws differs by a code at the bottom.
    quarter = slice(HEIGHT * 3 // 4, HEIGHT)
    far = [np.abs(picture[quarter].astype(int) - to_i420(still)[quarter]).mean() for picture in shown]
    assert far[0] < far[2] < far[5] < far[12] * 1.2
    assert far[-1] < far[-3] < far[-6] < far[12] * 1.2
    assert far[0] < far[12] / 3
    assert far[-1] < far[12] / 3


def test_frames_that_are_not_shown_do_not_shift_the_fade():
    service = FlashHeadFake(sessions=True)
    with talking(service) as (renderer, stream):
        heard = window(sound(24), 0, 24, live=True, last=True, shown=10)
        fragment = rendered(renderer, stream, heard)

    assert fragment.frames == 10


def test_reset_begins_anew_without_a_seam():
    service = FlashHeadFake(sessions=True)
    with talking(service) as (renderer, stream):
        codes(renderer, stream, window(sound(24), 0, 24))
        renderer.reset(stream)
        found = codes(renderer, stream, window(sound(48), 24, 24))

    assert found[0].number == 0
    assert stream.seams == []


def test_two_streams_never_meet():
    service = FlashHeadFake(sessions=True)
    with served(service), talking(service) as (one, first), talking(service, seed=8) as (two, second):
        for start in (0, 24):
            mine = codes(one, first, window(sound(48), start, 24))
            other = codes(two, second, window(sound(48, seed=2), start, 24))
            assert {code.face for code in mine} == {drawn_frames.face_sum(portrait())}
            assert {code.face for code in other} == {drawn_frames.face_sum(portrait(seed=8))}
            assert [code.number for code in mine] == [code.number for code in other]


# --- What is not believed ---------------------------------------------------------------------


@pytest.mark.parametrize("way", ["traversal", "link"])
def test_files_outside_of_the_folders_are_never_read(tmp_path, way):
    shared = tmp_path / "shared"
    shared.mkdir()
    service = FlashHeadFake(shared=shared, names="path")
    with served(service), talking(service, shared_dir=str(shared)) as (renderer, stream):
        codes(renderer, stream, window(sound(24), 0, 24))
        (tmp_path / "secret.mp4").write_bytes(next(iter(service.films.values())))  # readable, and a film

        service.misbehave(way)
        with pytest.raises(AdapterError) as caught:
            codes(renderer, stream, window(sound(24), 24, 24))

    assert (caught.value.code, caught.value.retryable) == ("model_error", True)
    assert str(tmp_path) not in str(caught.value)


def test_a_pipe_is_no_film_and_nobody_waits_for_it(tmp_path):
    service = FlashHeadFake(shared=tmp_path, names="path")

    assert fails(service, "pipe", shared_dir=str(tmp_path)).code == "model_error"


@pytest.mark.parametrize(
    "reference",
    [
        "http://127.0.0.1:9/outputs/a.mp4",
        "http://model:8766.evil.example/outputs/a.mp4",
        "http://model:8766@evil.example/outputs/a.mp4",
        "https://model:8766/outputs/a.mp4",
        "http://model:8766/outputs/../secret",
        "http://model:8766/outputs/%2e%2e/secret",
        "http://model:8766/outputs-of-others/a.mp4",
        "http://model:8767/outputs/a.mp4",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1/",
        "file:///etc/passwd",
        "/etc/passwd",
        "../../etc/passwd",
        "outputs/../../etc/passwd",
        "..\\secret",
        "a\0b",
        "",
    ],
)
def test_names_of_other_places_are_nowhere(reference):
    found = places.Places(base_url="http://model:8766/outputs").find(reference)

    assert found is None


@pytest.mark.parametrize(
    "reference",
    [
        "a" * 300,
        "x/" * 3000,
        "\ud800.mp4",
        "http://model/\ud800",
        "http://model/" + "a" * 70_000,
        "a\x01.mp4",
    ],
)
def test_names_that_no_file_can_have_are_nowhere(tmp_path, reference):
    folder = places.Places(output_local=str(tmp_path), output_remote=str(tmp_path))
    for told in (folder, places.Places(base_url="http://model")):
        for name in (reference, f"{tmp_path}/{reference}"):
            found = told.find(name)
            if isinstance(found, Path):
                assert not places.is_file(found)
            assert found is None or len(str(found)) < 4096


def test_a_folder_that_becomes_a_link_after_it_was_looked_at_is_not_followed(tmp_path):
    output, secret = tmp_path / "output", tmp_path / "secret"
    for folder in (output / "today", secret):
        folder.mkdir(parents=True)
        (folder / "a.mp4").write_bytes(folder.name.encode())
    told = places.Places(output_local=str(output), output_remote="/films")
    found = told.find("/films/today/a.mp4")
    assert isinstance(found, Path)
    assert places.read(found, "x") == b"today"

    (output / "today").rename(output / "yesterday")
    (output / "today").symlink_to(secret)
    with pytest.raises(AdapterError) as caught:
        places.read(found, "x")
    assert caught.value.code == "model_error"


def test_what_no_address_can_be_is_not_fetched():
    service = FlashHeadFake()
    with served(service):
        asked = made(service)._service
        with pytest.raises(AdapterError) as caught:
            asked.fetch(places.Address(f"{service.origin}/outputs/\x01.mp4"))
    assert caught.value.code == "model_error"


def test_names_of_the_configured_place_are_found():
    told = places.Places(base_url="http://model:8766/outputs")

    assert told.find("http://model:8766/outputs/a.mp4") == places.Address("http://model:8766/outputs/a.mp4")
    assert told.find("a b.mp4") == places.Address("http://model:8766/outputs/a%20b.mp4")


def test_an_address_elsewhere_is_not_fetched():
    assert fails(FlashHeadFake(), "elsewhere").code == "model_error"


def test_the_key_goes_to_the_service_alone():
    service, store = FlashHeadFake(KEY), FlashHeadFake()
    with served(service), served(store):
        asked = made(service, output_url=store.origin)._service
        with pytest.raises(AdapterError) as caught:
            asked.fetch(places.Address(f"{store.origin}/outputs/x.mp4"))

    # A server without a key refuses whoever shows one (401); this one only misses the film.
    assert "404" in str(caught.value)
    assert store.fetched == ["x.mp4"]


@pytest.mark.parametrize(
    ("way", "code", "retryable"),
    [
        ("short 4", "frames_missing", True),
        ("long 4", "frames_malformed", False),
        ("page", "frames_malformed", False),
        ("flat", "model_fake", False),
        ("other", "model_lost", True),
        ("nothing", "model_error", True),
        ("list", "model_error", True),
        ("garbage", "model_error", True),
        ("cut", "model_unreachable", True),
        ("drop", "model_unreachable", True),
        ("400", "model_rejected", False),
        ("401", "model_rejected", False),
        ("413", "model_rejected", False),
        ("500", "model_error", True),
        ("503", "model_busy", True),
    ],
)
def test_what_goes_wrong_has_a_code(way, code, retryable):
    ways = [way] * 12 if code == "model_busy" else [way]
    error = fails(FlashHeadFake(), *ways)

    assert (error.code, error.retryable) == (code, retryable)


@pytest.mark.parametrize("way", ["silent", "stalled"])
def test_a_service_that_stalls_is_given_up(monkeypatch, way):
    monkeypatch.setattr(client, "DOWNLOAD_SECONDS", 0.2)

    assert fails(FlashHeadFake(), way, timeout_seconds=0.3).code == "model_timeout"


def test_a_film_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(client, "MAX_BYTES", 3 * 1024 * 1024)

    assert fails(FlashHeadFake(), "huge").code == "frames_malformed"


def test_a_service_that_is_busy_is_asked_again():
    service = FlashHeadFake()
    with talking(service) as (renderer, stream):
        service.misbehave("409 0", "409 0.01")
        assert len(codes(renderer, stream, window(sound(24), 0, 24))) == 24


def test_a_service_that_stays_busy_is_left_with_what_it_asked_for():
    error = fails(FlashHeadFake(), *["409 7"] * 3)

    assert (error.code, error.retryable, error.retry_after) == ("model_busy", True, 7.0)


def test_after_an_error_the_next_film_does_not_pretend_to_go_on():
    service = FlashHeadFake(sessions=True)
    with talking(service) as (renderer, stream):
        codes(renderer, stream, window(sound(72), 0, 24))
        service.misbehave("500")
        with pytest.raises(AdapterError):
            codes(renderer, stream, window(sound(72), 24, 24))
        codes(renderer, stream, window(sound(72), 24, 24))

    assert [body["config"]["continues"] for body in service.requests] == [False, False]
    assert stream.seams == [24]


def test_a_service_that_draws_other_portions_says_which_setting_is_wrong():
    error = fails(FlashHeadFake(sessions=True, slice_frames=28))

    assert error.code == "model_profile_mismatch"
    assert "28 frames at a time, not 24" in str(error)


def test_warming_asks_whether_somebody_listens_and_nothing_else():
    service = FlashHeadFake()
    with served(service):
        made(service).warm()
        assert (service.requests, service.opened) == ([], 0)
    with pytest.raises(AdapterError) as caught:
        made(service).warm()
    assert caught.value.code == "model_unreachable"


def test_a_bundle_of_another_model_is_no_bundle():
    with served(FlashHeadFake()) as service, pytest.raises(AdapterError) as caught:
        made(service).load(json.dumps({}).encode())
    assert caught.value.code == "bundle_invalid"
