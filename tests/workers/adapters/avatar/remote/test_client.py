"""The states of one connection, what servers announce, and what their errors mean."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from websockets.http11 import Request
from websockets.server import ServerProtocol

from tests.support.flashtalk import flashtalk
from tests.support.remote import portrait, sound
from workers.adapters.avatar.remote.audio2video import Audio2Video, refusal
from workers.adapters.avatar.remote.client import Announced, Client, Deadlines, State
from workers.adapters.avatar.remote.faults import Broken
from workers.adapters.avatar.remote.realtime import Realtime
from workers.adapters.errors import AdapterError

OPENING = Audio2Video().opening(portrait(), {})


def client(url: str, *, progressive: bool = False, **deadlines: float) -> Client:
    told = {"connect": 2.0, "init": 2.0, "first_chunk": 2.0, "chunk": 2.0, "close": 0.5, "times": 0.01}
    return Client(
        url,
        {},
        Audio2Video(),
        provider="flashtalk",
        deadlines=Deadlines(**{**told, **deadlines}),
        progressive=progressive,
    )


def test_a_connection_goes_through_its_states() -> None:
    with flashtalk() as server:
        made = client(server.url)
        states = [made.state]
        announced = made.begin(OPENING)
        assert announced == Announced(28, 17920, 96, 160)
        states.append(made.state)
        made.send(sound(28))
        states.append(made.state)
        assert len(made.receive()) == 28
        states.append(made.state)
        made.close()
        states.append(made.state)
        assert [state.value for state in states] == ["connecting", "ready", "answering", "ready", "closed"]
        assert server.closes == 1


@pytest.mark.parametrize(
    ("frame_num", "motion", "samples"), [(33, 5, 17920), (33, 9, 15360), (25, 3, 14080), (29, 1, 17920)]
)
def test_a_chunk_is_as_long_as_its_frames(frame_num: int, motion: int, samples: int) -> None:
    with flashtalk(frame_num=frame_num, motion_frames_num=motion) as server:
        made = client(server.url)
        assert made.begin(OPENING).chunk_samples == samples
        made.close()


@pytest.mark.parametrize("samples", [0, 17919, 17921, 35840])
def test_another_length_than_announced_is_never_sent(samples: int) -> None:
    with flashtalk() as server:
        made = client(server.url)
        made.begin(OPENING)
        with pytest.raises(ValueError, match="17920"):
            made.send(np.zeros(samples, np.int16))
        made.close()
        assert server.chunks == 0


def test_one_chunk_is_under_way_at_a_time() -> None:
    with flashtalk() as server:
        made = client(server.url)
        made.begin(OPENING)
        made.send(sound(28))
        with pytest.raises(RuntimeError):
            made.send(sound(28))
        made.close()


def test_pictures_that_come_one_by_one_are_one_answer() -> None:
    with flashtalk(progressive=True) as server:
        made = client(server.url, progressive=True)
        made.begin(OPENING)
        for _ in range(2):
            made.send(sound(28))
            answers = []
            while made.state is State.ANSWERING:
                answers.append(len(made.receive()))
            assert answers == [1] * 28
        made.close()


def test_pictures_that_stop_coming_are_waited_for_until_the_deadline() -> None:
    with flashtalk() as server:
        server.ways = ["drop_progressive"]
        made = client(server.url, progressive=True)
        made.begin(OPENING)
        made.send(sound(28))
        for _ in range(3):
            made.receive()
        with pytest.raises(Broken):
            made.receive()
        assert made.state is State.BROKEN


@pytest.mark.parametrize("way", ["fps", "huge", "nothing", "odd"])
def test_impossible_announcements_are_refused(way: str) -> None:
    with flashtalk() as server:
        server.openings = [way]
        made = client(server.url)
        with pytest.raises(AdapterError) as caught:
            made.begin(OPENING)
        assert (caught.value.code, caught.value.retryable) == ("model_profile_mismatch", False)
        assert made.state is State.BROKEN


@pytest.mark.parametrize("way", ["garbage", "pictures"])
def test_nonsense_instead_of_an_announcement_is_refused(way: str) -> None:
    with flashtalk() as server:
        server.openings = [way]
        made = client(server.url)
        with pytest.raises(AdapterError) as caught:
            made.begin(OPENING)
        assert caught.value.code == "frames_malformed"


def test_a_broken_connection_is_never_used_again() -> None:
    with flashtalk() as server:
        server.ways = ["garbage"]
        made = client(server.url)
        made.begin(OPENING)
        made.send(sound(28))
        with pytest.raises(AdapterError):
            made.receive()
        with pytest.raises(Broken):
            made.send(sound(28))
        made.close()
        assert made.state is State.BROKEN
        assert (server.chunks, server.closes) == (1, 0)


@contextmanager
def deaf() -> Iterator[str]:
    """A server that greets, and then reads no more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = threading.Event()

        def greet() -> None:
            line, _ = listening.accept()
            with line:
                protocol = ServerProtocol()
                while not protocol.events_received():
                    protocol.receive_data(line.recv(4096))
                    if request := next(iter(protocol.events_received()), None):
                        assert isinstance(request, Request)
                        protocol.send_response(protocol.accept(request))
                        break
                line.sendall(b"".join(protocol.data_to_send()))
                done.wait(10)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}"
        done.set()
        thread.join(5)


def test_a_server_that_takes_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.adapters.avatar.remote.socket.SEND_SECONDS", 1)
    with deaf() as url:
        made = client(url)
        with pytest.raises(AdapterError) as caught:
            made.begin(Audio2Video().opening(bytes(1000), {"more": "x" * 30_000_000}))
        assert (caught.value.code, made.state) == ("model_unreachable", State.BROKEN)


def test_threads_of_a_connection_end_with_it() -> None:
    with flashtalk() as server:
        before = threading.active_count()
        for end in ("close", "abort"):
            made = client(server.url)
            made.begin(OPENING)
            getattr(made, end)()
        for _ in range(300):
            if threading.active_count() <= before:
                break
            time.sleep(0.01)
        assert threading.active_count() <= before


@pytest.mark.parametrize(
    ("text", "code", "expected", "retryable", "again"),
    [
        ("No active session. Send 'init' first.", "", "model_lost", True, True),
        ("x", "session_not_found", "model_lost", True, True),
        ("x", "session_required", "model_lost", True, True),
        ("x", "runtime_not_ready", "model_lost", True, True),
        ("Generate failed: x", "", "model_error", True, True),
        ("x", "runtime_error", "model_error", True, True),
        ("Generate failed: CUDA out of memory", "", "out_of_memory", True, False),
        ("Init failed: out of memory", "", "out_of_memory", True, False),
        ("OOM", "", "out_of_memory", True, False),
        ("no room: session not found", "", "model_lost", True, True),
        ("Init failed: cannot identify image", "", "model_rejected", False, False),
        ("Expected 35840 bytes", "", "model_rejected", False, False),
        ("x", "bad_image_base64", "model_rejected", False, False),
        ("[Errno 111] Connect call failed", "", "model_lost", True, True),
        ("received 1011 (internal error) keepalive ping timeout", "", "model_lost", True, True),
        ("timed out during opening handshake", "", "model_lost", True, True),
        ("no close frame received or sent", "", "model_lost", True, True),
        ("Binary message must start with 'AUDI' magic", "", "model_rejected", False, False),
        ("Unknown message type: x", "", "model_rejected", False, False),
    ],
)
def test_errors_of_servers_are_told_apart(
    text: str, code: str, expected: str, *, retryable: bool, again: bool
) -> None:
    made = refusal({"type": "error", "message": text, "code": code}, "flashtalk")
    assert (made.code, made.retryable) == (expected, retryable)
    assert isinstance(made, Broken) == again


def test_a_servers_own_words_are_not_repeated() -> None:
    made = refusal({"message": "cannot read /home/x?token=abc", "code": "/etc/passwd abc"}, "flashtalk")
    assert "token" not in str(made)
    assert "passwd" not in str(made)
    named = refusal({"message": "no", "code": "bad_frame_dir"}, "flashtalk")
    assert "bad_frame_dir" in str(named)


def test_the_native_dialect_derives_its_frames_from_the_chunk() -> None:
    created = {
        "type": "session.created",
        "audio": {"sample_rate": 16000, "chunk_samples": 15360},
        "video": {"fps": 25, "width": 512, "height": 512},
    }
    assert Realtime(model="m").announced(created, "x") == Announced(24, 15360, 512, 512)
    assert Realtime(model="m").announced({"type": "metrics"}, "x") is None
    for broken in ({**created, "audio": None}, {**created, "video": {"fps": 30, "width": 1, "height": 1}}):
        with pytest.raises(AdapterError) as caught:
            Realtime(model="m").announced(broken, "x")
        assert caught.value.code == "model_profile_mismatch"
