"""One WebRTC connection of a session: takes what playout made of each frame and sends it.

A peer lives on one event loop. Nothing in it encodes (but for clients without H.264, see
rtc/vp8.py), and nothing in it waits for the client: what cannot be sent is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, Protocol, Self

from aiortc.rtp import RtcpReceiverInfo

from rtc import rtcp, sdp
from rtc.answer import LocalStream, LocalTransport, write_answer
from rtc.errors import PeerError
from rtc.frames import FPS, Tick
from rtc.ice import IceConfig
from rtc.inbound import Microphone
from rtc.outbound import Outbound
from rtc.stats import Level, PeerStats, Quality
from rtc.transport import IceConnection, MediaTransport

_log = logging.getLogger(__name__)

State = Literal["new", "connecting", "connected", "disconnected", "closed"]

CONNECT_SECONDS = 15.0
SILENCE_SECONDS = 6.0  # browsers send something at least every 2.5 s
CLOSE_SECONDS = 3.0
# A key frame is asked of playout at most this often, however many picture losses are reported.
KEYFRAME_SECONDS = 0.2


class PeerListener(Protocol):
    """Who wants to know. Called on the event loop, must not block or raise.

    `connected` may come again after `disconnected("silent")`; the other reasons (`failed`,
    `connect_timeout`, `closed_by_client`) are the last word. `microphone` gives s16le at 16 kHz mono.
    """

    def connected(self) -> None: ...

    def disconnected(self, reason: str) -> None: ...

    def keyframe_wanted(self) -> None: ...

    def quality(self, level: Level) -> None: ...

    def microphone(self, pcm16k: bytes) -> None: ...


class Peer:
    """Made by `answer`; closed by `close`, which whoever answered must call."""

    answer_sdp: str

    def __init__(self, offer: sdp.Offer, *, ice: IceConfig, on_event: PeerListener, user: str) -> None:
        self._offer = offer
        self._listener: PeerListener | None = on_event
        self._connection = IceConnection(ice, user)
        self._transport = MediaTransport(self._connection, self)
        self._outbound = Outbound(offer, self._transport)
        self._microphone = _microphone(offer, self._heard, time.monotonic)
        self._quality = Quality(self._quality_changed, time.monotonic)
        self._state: State = "new"
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._candidates = sum(len(section.candidates) for section in offer.sections)
        self._ticks = 0
        self._keyframe_asked = 0.0
        self._jitter_ms = 0.0
        self._microphone_report: tuple[int, float] = (0, 0.0)  # middle of its NTP time, when it came

    # --- Life -------------------------------------------------------------------------------

    @classmethod
    async def answer(
        cls, offer_sdp: str, *, ice: IceConfig, on_event: PeerListener, user: str = "parley"
    ) -> Self:
        """Answer a client's offer and start connecting; the answer is in `answer_sdp`.

        Raises `PeerError` for an offer that cannot be answered. `user` names the session to a TURN
        server.
        """
        peer = cls(sdp.read_offer(offer_sdp), ice=ice, on_event=on_event, user=user)
        try:
            await peer._prepare()
        except BaseException:
            await peer.close()
            raise
        peer._task = asyncio.create_task(peer._connect(), name="peer")
        return peer

    async def _prepare(self) -> None:
        await self._connection.gather_candidates()
        for candidate in self._offer.transport.candidates:
            await self._connection.add(candidate)
        local = LocalTransport(
            ice_ufrag=self._connection.local_username,
            ice_pwd=self._connection.local_password,
            fingerprint=self._transport.fingerprint(),
            candidates=self._connection.candidate_lines(),
        )
        audio, video, cname = self._outbound.audio, self._outbound.video, self._outbound.cname
        self.answer_sdp = write_answer(
            self._offer,
            local,
            LocalStream(audio.ssrc, audio.rtx_ssrc, cname, "voice"),
            LocalStream(video.ssrc, video.rtx_ssrc, cname, "picture"),
            session_id=secrets.randbelow(2**62),
        )

    async def _connect(self) -> None:
        self._state = "connecting"
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connected = await self._transport.connect(self._offer)
        except TimeoutError:
            self._leave("connect_timeout")
            return
        # Whatever a client makes the handshake say, the session shall hear that it came to nothing.
        except Exception:  # noqa: BLE001 - see above
            _log.exception("A peer could not connect")
            connected = False
        if connected:
            self._arrive()
        else:
            self._leave("failed")

    def _arrive(self) -> None:
        self._state = "connected"
        self._transport.on("statechange", self._transport_changed)
        self._begin()

    def _begin(self) -> None:
        ready = self._outbound.begin()
        if self._listener is not None:
            self._listener.connected()
        if not ready:
            self._want_keyframe()

    def _transport_changed(self) -> None:
        if self._transport.state in ("closed", "failed"):
            self._leave("closed_by_client" if self._transport.transport.state == "completed" else "failed")

    def _leave(self, reason: str) -> None:
        """Over for good: tell, and clean up."""
        if self._state == "closed":
            return
        self._state = "closed"
        if self._listener is not None:
            self._listener.disconnected(reason)
        self._start_closing()

    def _start_closing(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="peer-close")
        return self._closing

    async def close(self) -> None:
        """Say goodbye and release everything. May be called again, and by several at once."""
        self._state = "closed"
        await asyncio.shield(self._start_closing())

    async def _close(self) -> None:
        self._listener = None
        self._outbound.close()
        task = self._task
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._transport.close()
        self._microphone = None

    async def add_candidate(self, candidate: dict[str, Any] | None) -> None:
        """Take a trickled candidate in a browser's form; None or an empty one ends them.

        Raises `PeerError` with `candidate_invalid`, `candidates_too_many` or `peer_closed`.
        """
        if self._state == "closed":
            raise PeerError("peer_closed", "The connection is closed")
        if candidate is None:
            return  # the client may still be found by its own checks: nothing is over
        if not isinstance(candidate, dict) or not isinstance(line := candidate.get("candidate", ""), str):
            raise PeerError("candidate_invalid", "An ICE candidate is an object with a text `candidate`")
        if not line:
            return
        self._candidates += 1
        if self._candidates > sdp.MAX_CANDIDATES:
            raise PeerError("candidates_too_many", f"More than {sdp.MAX_CANDIDATES} candidates")
        if (read := sdp.read_candidate(line)) is not None:
            await self._connection.add(read)

    # --- Each frame -------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._state

    def send(self, tick: Tick) -> None:
        """Send one frame: its picture and its two packets of sound. Never waits, never raises.

        Call it from the first frame on, connected or not: a client that connects is shown the
        picture of that moment at once, and not only from the next key frame on.
        """
        if self._microphone is not None:
            self._microphone.tick()
        self._outbound.show(tick)
        if self._state not in ("connected", "disconnected"):
            return
        self._outbound.send(tick)
        self._ticks += 1
        if self._ticks % FPS == 1:
            self._each_second(tick.frame)

    def _each_second(self, frame: int) -> None:
        self._transport.check_path()
        self._outbound.report(frame, self._microphone_block())
        self._quality.sent(self._outbound.second_passed())
        silent = time.monotonic() - self._connection.heard_at > SILENCE_SECONDS
        if silent and self._state == "connected":
            self._state = "disconnected"
            if self._listener is not None:
                self._listener.disconnected("silent")
        elif not silent and self._state == "disconnected":
            self._state = "connected"
            self._begin()

    def _microphone_block(self) -> rtcp.ReceiverBlock | None:
        heard = self._microphone
        if heard is None or not heard.received:
            return None
        last_report, at = self._microphone_report
        delay = int((time.monotonic() - at) * 65536) if last_report else 0
        return heard.report_block(last_report, delay)

    # --- Receiving --------------------------------------------------------------------------

    def rtp_received(self, packet: bytes) -> None:
        if self._microphone is not None:
            self._microphone.packet(packet)

    def rtcp_received(self, packet: bytes) -> None:
        with suppress(ValueError, IndexError, struct.error):
            self._take(rtcp.read_feedback(packet, self._outbound.video.ssrc))

    def _take(self, feedback: rtcp.Feedback) -> None:
        if feedback.sender is not None:
            ntp = feedback.sender.sender_info.ntp_timestamp
            self._microphone_report = (ntp >> 16 & 0xFFFFFFFF, time.monotonic())
        if feedback.lost:
            self._outbound.again(feedback.lost)
        if feedback.estimate_bps is not None:
            self._quality.estimated(feedback.estimate_bps)
        for block in feedback.reports:
            self._take_block(block)
        if feedback.keyframe and not self._outbound.keyframe():
            self._want_keyframe()

    def _take_block(self, block: RtcpReceiverInfo) -> None:
        self._outbound.round_trip.answered(block)
        if block.ssrc == self._outbound.video.ssrc:
            self._quality.reported(block.fraction_lost / 256)
            self._jitter_ms = block.jitter / 90

    def _want_keyframe(self) -> None:
        now = time.monotonic()
        if self._listener is not None and now - self._keyframe_asked >= KEYFRAME_SECONDS:
            self._keyframe_asked = now
            self._listener.keyframe_wanted()

    def _heard(self, pcm16k: bytes) -> None:
        if self._listener is not None:
            self._listener.microphone(pcm16k)

    def _quality_changed(self, level: Level) -> None:
        self._outbound.lower(level == "low")
        if self._listener is not None:
            self._listener.quality(level)

    def stats(self) -> PeerStats:
        """The figures of this moment."""
        microphone = self._microphone
        return PeerStats(
            rtt_ms=self._outbound.round_trip.milliseconds,
            loss=self._quality.loss,
            bandwidth_bps=self._quality.estimate_bps,
            packets_sent=self._transport.packets_sent,
            bytes_sent=self._transport.bytes_sent,
            packets_resent=self._outbound.video.resent,
            av_offset_ms=self._outbound.av_offset_ms,
            codec=self._offer.video_codec.name,
            transcoding=self._offer.video_codec.name != "h264",
            jitter_ms=self._jitter_ms,
            microphone_packets=microphone.received if microphone else 0,
            microphone_lost=microphone.lost if microphone else 0,
            level=self._quality.level,
            path=self._connection.chosen(),
        )


def _microphone(
    offer: sdp.Offer, deliver: Callable[[bytes], None], now: Callable[[], float]
) -> Microphone | None:
    section, codec = offer.audio, offer.audio_codec
    if section is None or codec is None or section.direction == "recvonly":
        return None
    return Microphone(codec.payload_type, section.extensions.get(sdp.AUDIO_LEVEL, 0), deliver, now)
