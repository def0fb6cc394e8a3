"""A real browser on the other end of a peer: it plays what was encoded elsewhere, and is heard."""

import asyncio
import shutil
import threading
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pytest

from rtc.clock import Driven, Pump
from rtc.frames import IdleLoop, Tick
from rtc.ice import IceConfig
from rtc.packets import access_units
from rtc.peer import Peer
from rtc.playout import Playout
from tests.browser.conftest import FLAGS, PATHS
from tests.rtc.cast import Told as PlayoutTold
from tests.support.coturn import coturn
from tests.support.rtc import opus_packets
from workers.rendering.encode import encode_idle

WIDTH, HEIGHT, FRAMES = 512, 640, 100
FAKE_MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
T = TypeVar("T")

# Called with {servers, relay, codec}; gives the offer.
CALL = """async ({servers, relay, codec}) => {
  const policy = relay ? 'relay' : 'all';
  const pc = window.pc = new RTCPeerConnection({iceServers: servers, iceTransportPolicy: policy});
  const microphone = await navigator.mediaDevices.getUserMedia({audio: true});
  pc.addTrack(microphone.getTracks()[0], microphone);
  const video = pc.addTransceiver('video', {direction: 'recvonly'});
  if (codec) {
    const wanted = RTCRtpReceiver.getCapabilities('video').codecs.filter(c => c.mimeType == codec);
    video.setCodecPreferences(wanted);
  }
  const screen = document.createElement('video');
  screen.autoplay = screen.playsInline = true;
  document.body.append(screen);
  window.screenElement = screen;
  pc.ontrack = event => { screen.srcObject = event.streams[0]; };
  await pc.setLocalDescription(await pc.createOffer());
  if (relay) await new Promise(done => {
    if (pc.iceGatheringState == 'complete') done();
    pc.onicegatheringstatechange = () => pc.iceGatheringState == 'complete' && done();
  });
  return pc.localDescription.sdp;
}"""
ACCEPT = "async sdp => await pc.setRemoteDescription({type: 'answer', sdp})"
STATS = """async () => {
  const found = {};
  for (const s of (await pc.getStats()).values()) if (s.type == 'inbound-rtp') found[s.kind] = {...s};
  return found;
}"""


@dataclass
class Heard:
    """The peer's listener, in the server's thread."""

    events: list[str] = field(default_factory=list)
    pcm: bytearray = field(default_factory=bytearray)

    def connected(self) -> None:
        self.events.append("connected")

    def disconnected(self, reason: str) -> None:
        self.events.append(reason)

    def keyframe_wanted(self) -> None: ...

    def quality(self, level: str) -> None: ...

    def microphone(self, pcm16k: bytes) -> None:
        self.pcm += pcm16k


class Server:
    """Peers with a clock and an idle loop, on an event loop in a thread, as in a web process."""

    def __init__(self, loop_file: bytes) -> None:
        self._idle = IdleLoop(access_units(loop_file))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._sound = opus_packets(4.0)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def answer(self, offer: str, heard: Heard, ice: IceConfig) -> tuple[Peer, Driven]:
        peer = await Peer.answer(offer, ice=ice, on_event=heard)
        playout = Playout(self._idle, listener=PlayoutTold())
        self.pump = Pump()

        def drive(frame: int) -> None:
            tick, sound = playout.tick(frame), self._sound
            pair = sound[2 * frame % len(sound)], sound[(2 * frame + 1) % len(sound)]
            peer.send(Tick(tick.frame, tick.video, pair, tick.epoch, speaking=False))

        return peer, self.pump.add(drive, self._loop.time())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    luma = np.kron(
        np.random.default_rng(0).integers(40, 200, (HEIGHT // 32, WIDTH // 32), np.uint8),
        np.ones((32, 32), np.uint8),
    )
    gray = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
    pictures = (np.vstack([np.roll(luma, 2 * number, 1), gray]) for number in range(FRAMES))
    running = Server(encode_idle(pictures, width=WIDTH, height=HEIGHT).data)
    yield running
    running.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = next((path for path in PATHS if shutil.which(path)), None)
    if program is None:
        pytest.skip("Chromium is not installed (apt-get install chromium): browser tests are skipped")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS + FAKE_MICROPHONE)
        yield running
        running.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that may use a microphone: a secure origin with nothing on it."""
    opened = browser.new_page()
    empty = {"body": "<html><body></body></html>", "content_type": "text/html"}
    opened.route("http://localhost/**", lambda route: route.fulfill(**empty))
    opened.goto("http://localhost/")
    yield opened
    opened.close()


@dataclass
class Call:
    peer: Peer
    heard: Heard


@pytest.fixture
def call(server: Server, page: Any) -> Iterator[Any]:
    opened: list[tuple[Peer, Driven]] = []

    def start(ice: IceConfig | None = None, *, relay: bool = False, codec: str = "") -> Call:
        ice, heard = ice or IceConfig(), Heard()
        offer = page.evaluate(CALL, {"servers": ice.servers_for("ses_1"), "relay": relay, "codec": codec})
        peer, driven = server.run(server.answer(offer, heard, ice))
        opened.append((peer, driven))
        page.evaluate(ACCEPT, peer.answer_sdp)
        return Call(peer, heard)

    yield start
    for peer, driven in opened:
        server.pump.remove(driven)
        server.run(peer.close())


def watch(page: Any, frames: int, seconds: float = 40.0) -> dict[str, Any]:
    """Wait until so many frames were decoded; the statistics of what came in."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        stats: dict[str, Any] = page.evaluate(STATS)
        if stats.get("video", {}).get("framesDecoded", 0) >= frames:
            return stats
        page.wait_for_timeout(250)
    raise AssertionError(f"not {frames} frames in {seconds} s: {stats}")


def test_pictures_play_without_a_freeze_and_sound_without_gaps(page: Any, call: Any) -> None:
    made = call()
    stats = watch(page, 200)
    video, audio = stats["video"], stats["audio"]
    assert (video["frameWidth"], video["frameHeight"]) == (WIDTH, HEIGHT)
    # A loaded machine may stand still for a moment; a stream that is wrong freezes again and again.
    assert video["freezeCount"] <= 1
    assert video["framesDropped"] <= 0.02 * video["framesDecoded"]
    assert video["packetsLost"] == 0
    assert video["pliCount"] == 0
    assert audio["concealedSamples"] <= 0.1 * audio["totalSamplesReceived"]
    assert audio["audioLevel"] > 0.05, "the tone is heard"
    assert made.peer.stats().codec == "h264"
    assert made.peer.stats().path in ("host", "prflx")


def test_the_microphone_is_heard(page: Any, call: Any) -> None:
    made = call()
    watch(page, 75)
    assert len(made.heard.pcm) > 2 * 16_000
    pcm = np.frombuffer(bytes(made.heard.pcm), np.int16)
    assert np.abs(pcm.astype(int)).max() > 1000, "Chromium's fake microphone beeps"


def test_a_relay_alone_is_enough(page: Any, call: Any) -> None:
    with coturn() as turn:
        made = call(turn.config(), relay=True)
        stats = watch(page, 50)
        assert stats["audio"]["packetsReceived"] > 50
        assert made.heard.events == ["connected"]


def test_a_browser_without_h264_sees_vp8(page: Any, call: Any) -> None:
    made = call(codec="video/VP8")
    stats = watch(page, 50)
    assert stats["video"]["frameWidth"] == WIDTH
    assert made.peer.stats().transcoding


def test_hanging_up_is_noticed_at_once(page: Any, call: Any) -> None:
    made = call()
    watch(page, 10)
    page.evaluate("pc.close()")
    deadline = time.monotonic() + 5
    while len(made.heard.events) < 2 and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert made.heard.events == ["connected", "closed_by_client"]
