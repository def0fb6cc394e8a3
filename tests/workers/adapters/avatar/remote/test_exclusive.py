"""A server with one session for everybody: leases keep ours apart, strangers are noticed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import redis

from tests.support.flashtalk import flashtalk
from tests.support.omnirt import Model, omnirt
from tests.support.remote import bundled, configured, drawn, remote, sound, streamed, sums, window
from tests.support.valkey import valkey_server
from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.remote import availability
from workers.adapters.avatar.remote.availability import Listing, check, resource
from workers.adapters.avatar.remote.renderer import RemoteRenderer
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.leases import Leases

AHEAD = 33 * 640


class Shared(Alone):
    """A host with the leases of a service."""

    def __init__(self, leases: Leases) -> None:
        super().__init__()
        self.leases = leases

    def lease(self, resource: str, *, live: bool, wait_seconds: float = 0.0):  # type: ignore[no-untyped-def]
        return self.leases.hold(resource, live=live, wait_seconds=wait_seconds)


@pytest.fixture(scope="module")
def broker() -> Iterator[redis.Redis]:
    with valkey_server() as url, redis.Redis.from_url(url) as client:
        yield client


@pytest.fixture
def host(broker: redis.Redis) -> Shared:
    broker.flushall()
    return Shared(Leases(lambda: broker, ttl_seconds=3))


def renderer(url: str, host: Shared, backend: str = "direct_ws") -> RemoteRenderer:
    settings = {"FLASHTALK_BACKEND": backend, "FLASHTALK_URL": url, "OMNIRT_URL": url}
    return remote(configured("flashtalk", settings, lease_wait_seconds=0.0), host)


def test_two_of_ours_never_meet_at_one_server(host: Shared) -> None:
    with flashtalk() as server:
        one, other = renderer(server.url, host), renderer(server.url, host)
        with streamed(one) as stream:
            first = drawn(one, stream, window(sound(60), 0, 28, ahead=AHEAD)).codes
            with streamed(other) as late, pytest.raises(AdapterError) as caught:
                other.warm_stream(late, live=True)
            assert (caught.value.code, caught.value.retryable) == ("model_busy", True)
            then = drawn(one, stream, window(sound(60), 28, 32, last=True)).codes
        assert [code.sound for code in (*first, *then)] == sums(sound(60), range(60))
        assert (server.connections, server.most_open) == (1, 1)
        with streamed(other) as late:
            other.warm_stream(late, live=True)
        assert server.connections == 2


def test_the_server_is_left_before_the_next_may_come(host: Shared) -> None:
    """A connection that ends wipes the session of whoever came meanwhile."""
    with flashtalk() as server:
        for _ in range(3):
            made = renderer(server.url, host)
            with streamed(made) as stream:
                drawn(made, stream, window(sound(28), 0, 28, last=True))
                assert stream.seams == []
        assert server.most_open == 1
        assert len(server.inits) == 3


def test_a_session_that_a_stranger_ended_goes_on_with_a_seam(host: Shared) -> None:
    with flashtalk() as server:
        made = renderer(server.url, host)
        with streamed(made) as stream:
            drawn(made, stream, window(sound(56), 0, 28))
            server.session = None  # another connection came and went
            codes = drawn(made, stream, window(sound(56), 28, 28, last=True)).codes
            assert stream.seams == [28]
        assert [code.sound for code in codes] == sums(sound(56), range(28, 56))


def test_a_session_that_a_stranger_took_over_shows_nothing_of_theirs(host: Shared) -> None:
    with flashtalk() as server:
        made, theirs = renderer(server.url, host), renderer(server.url, Shared(Leases(_nobody)))
        with streamed(made) as stream, streamed(theirs, seed=4) as stranger:
            drawn(made, stream, window(sound(56), 0, 28))
            theirs._options = theirs._options.__class__(exclusive=False)
            theirs.warm_stream(stranger, live=False)  # does not ask for the lease
            with pytest.raises(AdapterError) as caught:
                drawn(made, stream, window(sound(56), 28, 28, last=True))
        assert (caught.value.code, caught.value.retryable) == ("model_lost", True)


def test_pictures_that_came_after_the_lease_was_lost_are_not_used(host: Shared, broker: redis.Redis) -> None:
    with flashtalk() as server:
        made = renderer(server.url, host)
        with streamed(made) as stream:
            drawn(made, stream, window(sound(56), 0, 28))
            assert stream.lease is not None
            broker.flushall()
            stream.lease.renew()  # type: ignore[attr-defined]  # what its thread does now and then
            with pytest.raises(AdapterError) as caught:
                drawn(made, stream, window(sound(56), 28, 28, last=True))
        assert (caught.value.code, caught.value.retryable) == ("lease_lost", True)
        assert server.chunks == 1


def test_a_live_session_that_waits_is_seen_by_the_clip_that_holds_the_server(host: Shared) -> None:
    with flashtalk() as server:
        clip, live = renderer(server.url, host), renderer(server.url, host)
        with streamed(clip) as stream, streamed(live) as session:
            clip.warm_stream(stream, live=False)
            assert not clip.wanted(stream)
            with pytest.raises(AdapterError):
                live.warm_stream(session, live=True)
            stream.lease.renew()  # type: ignore[union-attr]
            assert clip.wanted(stream)
            clip.close_stream(stream)
            live.warm_stream(session, live=True)


def test_a_probe_does_not_disturb_a_session(host: Shared) -> None:
    with flashtalk() as server:
        made, probe = renderer(server.url, host), renderer(server.url, host)
        with streamed(made) as stream:
            drawn(made, stream, window(sound(56), 0, 28))
            probe.warm()
            drawn(made, stream, window(sound(56), 28, 28, last=True))
            assert stream.seams == []
        assert server.connections == 1  # of WebSockets: the probe made none


def test_the_list_of_models_is_not_asked_for_while_the_server_is_used(host: Shared) -> None:
    lists = Listing(kept_seconds=0)
    with omnirt() as server:
        made = renderer(server.url, host, "omnirt")
        endpoint = Endpoint(server.url)
        check(endpoint, host, "flashtalk", listed="flashtalk", lists=lists)
        assert server.listed == 1
        with streamed(made) as stream:
            drawn(made, stream, window(sound(56), 0, 28))
            check(endpoint, host, "wav2lip", listed="wav2lip", lists=lists)
            drawn(made, stream, window(sound(56), 28, 28, last=True))
            assert stream.seams == []
        assert (server.listed, server.wiped) == (1, 0)
        check(endpoint, host, "wav2lip", listed="wav2lip", lists=lists)
        assert server.listed == 2


def test_the_fake_would_lose_its_session_to_a_careless_probe() -> None:
    """What the test above proves can be seen to fail."""
    with omnirt() as server:
        made = remote(configured("flashtalk", {"FLASHTALK_BACKEND": "omnirt", "OMNIRT_URL": server.url}))
        with streamed(made) as stream:
            drawn(made, stream, window(sound(56), 0, 28))
            Listing(kept_seconds=0).of(Endpoint(server.url), Alone(), "flashtalk")
            drawn(made, stream, window(sound(56), 28, 28, last=True))
            assert stream.seams == [28]
        assert server.wiped == 1


@pytest.mark.parametrize(
    ("model", "code", "retryable"),
    [
        (Model("fallback_runtime"), "model_fake", False),
        (Model("runtime_not_enabled", connected=False), "model_unreachable", True),
        (None, "model_rejected", False),
    ],
)
def test_a_model_that_would_not_draw_is_told_before_it_is_used(
    host: Shared, model: Model | None, code: str, *, retryable: bool
) -> None:
    with omnirt(models={"wav2lip": model} if model else {}) as server:
        with pytest.raises(AdapterError) as caught:
            check(Endpoint(server.url), host, "wav2lip", listed="wav2lip", lists=Listing())
        assert (caught.value.code, caught.value.retryable) == (code, retryable)


@pytest.mark.parametrize(("way", "retryable"), [("500", True), ("garbage", False), ("long", False)])
def test_a_list_that_cannot_be_read_is_told(host: Shared, way: str, *, retryable: bool) -> None:
    with omnirt(lists=[way]) as server, pytest.raises(AdapterError) as caught:
        check(Endpoint(server.url), host, "wav2lip", listed="wav2lip", lists=Listing())
    assert caught.value.retryable == retryable


def test_the_list_is_kept_for_a_while(host: Shared) -> None:
    lists = Listing()
    with omnirt(key="k") as server:
        for model in ("wav2lip", "quicktalk", "flashtalk"):
            check(Endpoint(server.url, "k"), host, model, listed=model, lists=lists)
        assert server.listed == 1
        with pytest.raises(AdapterError) as caught:
            check(Endpoint(server.url, "wrong"), host, "wav2lip", listed="wav2lip", lists=Listing())
        assert caught.value.code == "model_rejected"


def test_a_server_that_is_away_is_told(host: Shared) -> None:
    with flashtalk() as gone:
        made = renderer(gone.url, host)
        made.warm()
    with pytest.raises(AdapterError) as caught:
        made.warm()
    assert (caught.value.code, caught.value.retryable) == ("model_unreachable", True)


def test_a_server_has_one_name_however_it_is_written() -> None:
    assert resource("ws://GPU-1:8765/x") == resource("http://gpu-1:8765") == "avatar-server:gpu-1:8765"
    assert resource("wss://gpu-1") == resource("https://gpu-1:443/path")
    assert "secret" not in resource("ws://user:secret@gpu-1/?token=secret")


def _nobody() -> redis.Redis:
    raise AssertionError("a stranger has no lease")


def test_bundles_are_what_they_say(host: Shared) -> None:
    with flashtalk() as server:
        made = renderer(server.url, host)
        for data in (b"", b"PK", bundled()[:-30], bundled()[:100]):
            with pytest.raises(AdapterError) as caught:
                made.load(data)
            assert caught.value.code == "bundle_invalid"


class _Drips(BaseHTTPRequestHandler):
    """Sends a list of models that never ends, byte by byte."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(b" ")
                time.sleep(0.02)

    def log_message(self, *_: object) -> None:
        pass


def test_a_list_of_models_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "LIST_SECONDS", 0.3)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Drips)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(AdapterError) as given_up:
            Listing().of(Endpoint(f"http://127.0.0.1:{server.server_port}"), Alone(), "wav2lip")
        assert given_up.value.code == "model_timeout"
    finally:
        server.shutdown()
        server.server_close()
