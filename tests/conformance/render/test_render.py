"""Every avatar server's adapter draws every frame from its own sound, or says clearly why not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.conformance.render.suite import (
    CASES,
    DIALECTS,
    EXACT,
    EXCLUSIVE,
    KEY,
    RenderCase,
    Server,
    sessions,
)
from tests.support.drawn_frames import face_sum
from tests.support.flashtalk import FlashTalk
from tests.support.omnirt import Model
from tests.support.remote import WIDTH, bundled, drawn, in_windows, portrait, sound, streamed, sums, window
from workers.adapters.avatar.pictures import to_i420
from workers.adapters.errors import AdapterError

AHEAD = 33 * 640
SHORT = {"connect": 2, "init": 0.4, "first_chunk": 0.4, "chunk": 0.4, "close": 0.4, "times": 0.01}
FRAMES = 70.5


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> RenderCase:
    made: RenderCase = request.param
    return made


@pytest.fixture
def server(case: RenderCase) -> Iterator[Server]:
    with case.server() as made:
        yield made


def only(cases: list[RenderCase]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, indirect=True, ids=lambda case: case.name)


def whole(case: RenderCase, server: Server, **options: Any) -> tuple[list[int], list[int]]:
    """A sound of 71 frames drawn as a clip: the checksums on the frames, and the seams that were told."""
    renderer = case.renderer(server, **options)
    with streamed(renderer) as stream:
        found = in_windows(renderer, stream, sound(FRAMES), [24, 36, 11], ahead=AHEAD)
        return found, stream.seams


def refusal(case: RenderCase, server: Server, **options: Any) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        whole(case, server, **options)
    return caught.value


def until(what: Callable[[], bool]) -> bool:
    """Wait for what another thread does."""
    for _ in range(500):
        if what():
            return True
        time.sleep(0.01)
    return False


EXPECTED = sums(sound(FRAMES), range(71))


def test_every_frame_of_a_clip_is_drawn_from_its_own_sound(case: RenderCase, server: Server) -> None:
    assert whole(case, server) == (EXPECTED, [])
    assert sessions(server) == 1


def test_frames_come_in_order_and_with_the_portraits_face(case: RenderCase, server: Server) -> None:
    renderer = case.renderer(server)
    with streamed(renderer) as stream:
        codes = drawn(renderer, stream, window(sound(30), 0, 30, ahead=AHEAD, last=True)).codes
    assert [code.number for code in codes] == list(range(30))
    assert {code.face for code in codes} == {face_sum(portrait())}


def test_pictures_have_the_avatars_size(case: RenderCase, server: Server) -> None:
    renderer = case.renderer(server)
    with streamed(renderer, width=128, height=192) as stream:
        shown = drawn(renderer, stream, window(sound(12), 0, 12, ahead=AHEAD, last=True)).pictures
    assert {picture.shape for picture in shown} == {(288, 128)}


def live(case: RenderCase, renderer: Any, stream: Any, chunks: int, seed: int) -> list[int]:
    """One utterance of a session, in windows of one chunk; the checksums on its frames."""
    pcm, found = sound(chunks * case.chunk, seed), []
    for place in range(chunks):
        heard = window(
            pcm,
            place * case.chunk,
            case.chunk,
            ahead=renderer.profile.lookahead_samples,
            live=True,
            first=place == 0,
            last=place == chunks - 1,
            origin=1000 * seed,
        )
        found += [code.sound for code in drawn(renderer, stream, heard).codes]
    return found


def test_a_session_speaks_several_times_over_one_connection(case: RenderCase, server: Server) -> None:
    renderer = case.renderer(server, crossfade_frames=0)
    with streamed(renderer) as stream:
        for seed in (1, 2, 3):
            found = live(case, renderer, stream, 3, seed)
            assert found == sums(sound(3 * case.chunk, seed), range(3 * case.chunk))
    assert sessions(server) == 1


def test_what_is_said_after_an_interruption_is_drawn_from_its_own_sound(
    case: RenderCase, server: Server
) -> None:
    renderer = case.renderer(server, crossfade_frames=0)
    pcm = sound(4 * case.chunk, 5)
    with streamed(renderer) as stream:
        heard = window(pcm, 0, case.chunk, ahead=renderer.profile.lookahead_samples, live=True, first=True)
        poses = renderer.infer(stream, renderer.extract_features(stream, heard))
        renderer.compose_frame(stream, poses[0])  # then the listener interrupts
        assert live(case, renderer, stream, 2, 6) == sums(sound(2 * case.chunk, 6), range(2 * case.chunk))
    assert sessions(server) == 1


@pytest.mark.parametrize("anew", [False, True])
def test_what_comes_after_a_forgotten_past_is_drawn_from_its_own_sound(
    case: RenderCase, server: Server, *, anew: bool
) -> None:
    renderer = case.renderer(server, crossfade_frames=0, renews_on_reset=anew)
    with streamed(renderer) as stream:
        live(case, renderer, stream, 2, 1)
        renderer.reset(stream)
        assert live(case, renderer, stream, 2, 2) == sums(sound(2 * case.chunk, 2), range(2 * case.chunk))
        assert stream.seams == []
    assert sessions(server) == 1 + anew


@only([case for case in CASES if case.backend == "omnirt"])
def test_a_server_that_lost_the_one_behind_it_is_asked_anew(case: RenderCase, server: Server) -> None:
    server.ways = ["", "upstream"]
    assert whole(case, server)[0] == EXPECTED
    assert sessions(server) == 2


@pytest.mark.parametrize(("way", "at"), [("drop", 0), ("drop", 1), ("half", 1), ("lost", 1), ("fail", 1)])
def test_a_lost_session_is_begun_again_and_no_frame_is_missing(
    case: RenderCase, server: Server, way: str, at: int
) -> None:
    server.ways = [""] * at + [way]
    found, seams = whole(case, server)
    assert found == EXPECTED
    assert sessions(server) == 2
    assert len(seams) <= 1
    assert all(0 < frame <= (at + 1) * case.chunk for frame in seams)
    assert bool(seams) or at == 0 or case.model == "quicktalk"


def test_where_continuity_was_lost_is_told_in_the_motions_frames(case: RenderCase, server: Server) -> None:
    renderer = case.renderer(server)
    server.ways = ["", "", "drop"]
    heard = window(sound(4 * case.chunk), 0, 4 * case.chunk, ahead=AHEAD, last=True, origin=500)
    with streamed(renderer) as stream:
        drawn(renderer, stream, heard)
        (seam,) = stream.seams
    assert 500 < seam <= 500 + 2 * case.chunk


def test_a_server_that_hangs_up_again_and_again_is_left(case: RenderCase, server: Server) -> None:
    server.ways = ["drop"] * 20
    error = refusal(case, server)
    assert (error.code, error.retryable) == ("model_unreachable", True)
    assert sessions(server) == 3


def test_a_server_that_fails_twice_is_left(case: RenderCase, server: Server) -> None:
    server.ways = ["fail"] * 20
    error = refusal(case, server)
    assert (error.code, error.retryable) == ("model_error", True)
    assert sessions(server) == 2
    assert "secret" not in str(error)


@pytest.mark.parametrize("at", [0, 1])
def test_a_server_that_stalls_is_cut_off(case: RenderCase, server: Server, at: int) -> None:
    server.ways = [""] * at + ["stall"]
    error = refusal(case, server, deadlines=SHORT)
    assert (error.code, error.retryable) == ("model_timeout", True)
    server.released.set()
    assert until(lambda: server.open_now == 0)


NONSENSE = ["garbage", "trailing", "truncated", "count", "length", "text", "chatter"]


@only(DIALECTS)
@pytest.mark.parametrize("way", [*NONSENSE, "resized", "no_jpeg", "half_jpeg", "many"])
def test_nonsense_ends_the_connection(case: RenderCase, server: Server, way: str) -> None:
    server.ways = ["", "", way]
    error = refusal(case, server)
    assert (error.code, error.retryable) == ("frames_malformed", False)
    assert until(lambda: server.open_now == 0)
    assert sessions(server) == 1


def test_servers_that_draw_too_little_are_left(case: RenderCase, server: Server) -> None:
    server.ways = ["empty"] * 40
    error = refusal(case, server)
    assert (error.code, error.retryable) == ("frames_missing", True)


@only(DIALECTS)
@pytest.mark.parametrize("way", ["few", "short"])
def test_a_chunk_with_too_few_frames_is_refused(case: RenderCase, server: Server, way: str) -> None:
    server.ways = ["", *[way] * 12]
    assert refusal(case, server).code == "frames_missing"


@only(EXACT)
def test_a_picture_too_many_is_dropped(case: RenderCase, server: Server) -> None:
    server.ways = ["", "surplus"]
    assert whole(case, server)[0] == EXPECTED


def test_a_server_without_a_model_is_found_out(case: RenderCase, server: Server) -> None:
    server.ways = ["fake"] * 20 if case.model != "quicktalk" else ["", *["flat"] * 20]
    error = refusal(case, server)
    assert (error.code, error.retryable) == ("model_fake", False)


def test_a_full_server_says_so(case: RenderCase, server: Server) -> None:
    server.ways = ["", "oom"]
    error = refusal(case, server)
    assert (error.code, error.retryable) == ("out_of_memory", True)


def test_what_a_server_refuses_is_not_sent_again(case: RenderCase, server: Server) -> None:
    server.ways = ["refuse"]
    error = refusal(case, server)
    assert (error.code, error.retryable) == ("model_rejected", False)
    assert sessions(server) == 1


def test_a_portrait_that_the_server_refuses_is_told_without_its_words(
    case: RenderCase, server: Server
) -> None:
    server.openings = ["refuse"]
    error = refusal(case, server)
    assert (error.code, error.retryable) == ("model_rejected", False)
    assert "secret" not in str(error)


def test_a_server_that_never_begins_is_left(case: RenderCase, server: Server) -> None:
    server.openings = ["stall"]
    assert refusal(case, server, deadlines=SHORT).code == "model_timeout"


def test_a_server_that_drops_the_beginning_is_asked_again(case: RenderCase, server: Server) -> None:
    server.openings = ["drop"] * 5
    error = refusal(case, server)
    native = case.model == "flashhead"  # there it may mean that the session is not to its liking
    expected = ("model_rejected", False) if native else ("model_unreachable", True)
    assert (error.code, error.retryable) == expected
    assert len(server.openings) == (3 if native else 2)
    server.openings = ["drop"]
    assert whole(case, server)[0] == EXPECTED


def test_a_server_that_is_away_is_unreachable(case: RenderCase) -> None:
    with case.server() as gone:
        pass
    error = refusal(case, gone)
    assert (error.code, error.retryable) == ("model_unreachable", True)
    assert KEY not in str(error)


def test_the_key_is_sent_when_connecting(case: RenderCase, server: Server) -> None:
    whole(case, server)
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}


def test_leaving_ends_the_session_on_the_server(case: RenderCase, server: Server) -> None:
    whole(case, server)
    assert server.closes == 1
    assert until(lambda: server.open_now == 0)


def test_leaving_during_an_answer_waits_for_it_and_no_longer_than_it_may(
    case: RenderCase, server: Server
) -> None:
    renderer = case.renderer(server)
    with streamed(renderer) as stream:
        renderer.extract_features(stream, window(sound(80), 0, 80, last=True))  # sent, not answered
    assert server.closes == 1
    server.ways = ["stall"]
    renderer = case.renderer(server, deadlines=SHORT)
    with streamed(renderer) as stream:
        renderer.extract_features(stream, window(sound(80), 0, 80, last=True))
    server.released.set()
    assert until(lambda: server.open_now == 0)


def test_live_sound_has_to_fit_the_servers_chunk(case: RenderCase, server: Server) -> None:
    if isinstance(server, FlashTalk):
        server.frame_num, server.motion_frames_num = 25, 3
    else:
        server.models = {name: Model(slice_frames=22) for name in server.models}
    renderer = case.renderer(server)
    with streamed(renderer) as stream, pytest.raises(AdapterError) as caught:
        live(case, renderer, stream, 1, 1)
    assert caught.value.code == "model_profile_mismatch"
    assert "22" in str(caught.value)
    assert str(case.chunk) in str(caught.value)


@only([case for case in CASES if case.model != "quicktalk"])
def test_clips_fit_themselves_to_the_servers_chunk(case: RenderCase, server: Server) -> None:
    if isinstance(server, FlashTalk):
        server.frame_num, server.motion_frames_num = 25, 3
    else:
        server.models = {name: Model(slice_frames=22) for name in server.models}
    assert whole(case, server)[0] == EXPECTED


@only([case for case in CASES if case not in EXCLUSIVE])
def test_two_streams_never_get_each_others_frames(case: RenderCase, server: Server) -> None:
    renderer = case.renderer(server)
    with streamed(renderer, seed=3) as one, streamed(renderer, seed=4) as other:
        for place in range(3):
            for stream, seed in ((one, 3), (other, 4)):
                heard = window(sound(75, seed), place * 25, 25, ahead=AHEAD)
                codes = drawn(renderer, stream, heard).codes
                assert {code.face for code in codes} == {face_sum(portrait(seed=seed))}
                assert [code.sound for code in codes] == sums(
                    sound(75, seed), range(place * 25, place * 25 + 25)
                )


@only(EXCLUSIVE)
def test_pictures_of_another_scene_are_never_shown(case: RenderCase, server: Server) -> None:
    server.ways = ["", "foreign"]
    error = refusal(case, server)
    assert (error.code, error.retryable) == ("model_lost", True)


def test_speech_begins_and_ends_at_the_idle_loop(case: RenderCase, server: Server) -> None:
    """The portrait's own picture is the idle loop here: the first and last frames lie near it."""
    renderer = case.renderer(server, crossfade_frames=6)
    chunks = -(-24 // case.chunk)
    frames = chunks * case.chunk
    with streamed(renderer) as stream:
        ahead = renderer.profile.lookahead_samples
        heard = window(
            sound(frames), 0, frames, ahead=ahead, live=True, first=True, last=True, shown=frames - 1
        )
        shown = drawn(renderer, stream, heard).pictures
        still = renderer.load(bundled()).picture
    away = [float(np.abs(picture[:160, :WIDTH].astype(int) - _luma(still)).mean()) for picture in shown]
    middle = float(np.mean(away[8 : frames - 9]))
    assert away[0] < 0.35 * middle
    assert away[frames - 2] < 0.35 * middle  # the last that is shown
    assert all(away[place] <= away[place + 1] + 2 for place in range(5))


def _luma(picture: np.ndarray) -> np.ndarray:
    return to_i420(picture)[:160].astype(int)
