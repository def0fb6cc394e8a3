"""One WebRTC connection of a session: takes what playout made of each frame and sends it.

A peer lives on one event loop. Nothing in it encodes (but for clients without H.264, see
rtc/vp8.py), and nothing in it waits for the client: what cannot be sent is dropped.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, Protocol, Self

from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcicetransport import RTCIceParameters
from aiortc.rtp import RtcpReceiverInfo

from rtc import rtcp, sdp
from rtc.errors import PeerError
from rtc.frames import FPS, PACKETS_PER_FRAME, SAMPLES_PER_FRAME, SAMPLES_PER_PACKET, Tick
from rtc.ice import IceConfig
from rtc.inbound import Microphone
from rtc.opening import Opening
from rtc.payloads import payloads_of, vp8_payloads
from rtc.sender import VIDEO_TICKS_PER_FRAME, Extensions, RtpStream, StreamConfig
from rtc.stats import Level, PeerStats, Quality
from rtc.transport import IceConnection, MediaTransport
from rtc.vp8 import Transcoder

State = Literal["new", "connecting", "connected", "disconnected", "closed"]

CONNECT_SECONDS = 15.0
SILENCE_SECONDS = 6.0  # browsers send something at least every 2.5 s
CLOSE_SECONDS = 3.0
# A keyframe is asked of playout at most this often, however many picture losses are reported.
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

    def microphone(self, pcm: bytes) -> None: ...


class Peer:
    """Made by `answer`; closed by `close`, which whoever answered must call."""

    answer_sdp: str

    def __init__(self, offer: sdp.Offer, *, ice: IceConfig, on_event: PeerListener, user: str) -> None:
        self._offer = offer
        self._listener: PeerListener | None = on_event
        self._connection = IceConnection(ice, user)
        self._transport = MediaTransport(self._connection, self)
        self._state: State = "new"
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._cname = secrets.token_hex(8)
        self._video = RtpStream(_video_config(offer), self._transport.send)
        self._audio = RtpStream(_audio_config(offer), self._transport.send)
        self._hears = offer.audio is not None and offer.audio.direction != "sendonly"
        self._microphone = _microphone(offer, self._heard, time.monotonic)
        self._round_trip = rtcp.RoundTrip(time.monotonic)
        self._quality = Quality(self._quality_changed, time.monotonic)
        self._origin_ntp: tuple[int, int] | None = None  # NTP time of a frame, and which
        self._opening = Opening()
        self._transcoder: Transcoder | None = None
        self._await_keyframe = True
        self._keyframe_asked = 0.0
        self._ticks = 0
        self._counted_octets = 0
        self._candidates = sum(len(section.candidates) for section in offer.sections)
        self._jitter_ms = 0.0
        self._mic_report: tuple[int, float] = (0, 0.0)

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
        offer = self._offer
        await self._connection.gather_candidates()
        for candidate in offer.transport.candidates:
            await self._connection.add(candidate)
        self._transport._set_role("client" if offer.setup == "active" else "server")  # noqa: SLF001 - ORTC has no other way
        digest = next(
            f for f in self._transport.getLocalParameters().fingerprints if f.algorithm == "sha-256"
        )
        local = sdp.LocalTransport(
            ice_ufrag=self._connection.local_username,
            ice_pwd=self._connection.local_password,
            fingerprint=f"sha-256 {digest.value}",
            candidates=self._connection.candidate_lines(),
        )
        self.answer_sdp = sdp.write_answer(
            offer,
            local,
            sdp.LocalStream(self._audio.ssrc, self._audio.rtx_ssrc, self._cname, "voice"),
            sdp.LocalStream(self._video.ssrc, self._video.rtx_ssrc, self._cname, "picture"),
            session_id=secrets.randbelow(2**62),
        )

    async def _connect(self) -> None:
        self._state = "connecting"
        reason = "failed"
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if await self._connected():
                    self._arrive()
                    return
        except TimeoutError:
            reason = "connect_timeout"
        self._leave(reason)

    async def _connected(self) -> bool:
        offer = self._offer.transport
        ice = self._transport.transport
        await ice.start(
            RTCIceParameters(
                usernameFragment=offer.ice_ufrag, password=offer.ice_pwd, iceLite=self._offer.ice_lite
            )
        )
        if ice.state != "completed":
            return False
        fingerprints = [RTCDtlsFingerprint(algorithm, value) for algorithm, value in offer.fingerprints]
        await self._transport.start(RTCDtlsParameters(fingerprints=fingerprints))
        return self._transport.state == "connected"

    def _arrive(self) -> None:
        self._state = "connected"
        self._transport.on("statechange", self._transport_changed)
        self._open()
        if self._listener is not None:
            self._listener.connected()

    def _open(self) -> None:
        """Show the current picture at once, instead of from the next key frame on."""
        if self._offer.video_codec.name != "h264":
            self._transcoder = self._transcoder or Transcoder(self._transcoded)
            self._transcoder.keyframe()
            return
        self._await_keyframe = True
        now = time.time()
        for unit, timestamp in self._opening.pictures(now):
            self._await_keyframe = False
            rtp_time = self._video.timestamp(0, timestamp)
            self._video.send(payloads_of(unit), rtp_time, rtcp.abs_send_time(now), marked=True)
        if self._await_keyframe:
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
        if self._transport.state == "connected":
            self._transport.send_control(rtcp.goodbye(self._video.ssrc, self._audio.ssrc))
        task = self._task
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._transport.close()
        self._microphone = None
        if self._transcoder is not None:
            self._transcoder.close()

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

    # --- Sending ----------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._state

    def send(self, tick: Tick) -> None:
        """Send one frame: its picture and its two packets of sound. Never waits, never raises."""
        if self._microphone is not None:
            self._microphone.tick()
        now = time.time()
        self._opening.presented(tick, now)
        if self._state not in ("connected", "disconnected"):
            return
        send_time = rtcp.abs_send_time(now)
        if self._hears:
            self._send_audio(tick, send_time)
        self._send_video(tick, send_time)
        self._ticks += 1
        if self._ticks % FPS == 1:
            self._each_second(tick.frame, now)

    def _send_audio(self, tick: Tick, send_time: int) -> None:
        for index in range(PACKETS_PER_FRAME):
            timestamp = self._audio.timestamp(tick.frame, index * SAMPLES_PER_PACKET)
            self._audio.send((tick.audio[index],), timestamp, send_time, marked=False)

    def _send_video(self, tick: Tick, send_time: int) -> None:
        unit = tick.video
        if self._transcoder is not None:
            self._transcoder.push(unit, tick.frame)
            return
        if self._await_keyframe:
            if not unit.keyframe:
                return  # nobody could decode it
            self._await_keyframe = False
        self._video.send(payloads_of(unit), self._video.timestamp(tick.frame), send_time, marked=True)

    def _transcoded(self, data: bytes, frame: int) -> None:
        payloads = tuple(vp8_payloads(data, frame))
        send_time = rtcp.abs_send_time(time.time())
        self._video.send(payloads, self._video.timestamp(frame), send_time, marked=True)

    def _each_second(self, frame: int, now: float) -> None:
        self._transport.check_path()
        self._report(frame, now)
        self._video.second_passed()
        octets = self._video.octets - self._counted_octets
        self._counted_octets = self._video.octets
        self._quality.sent(octets * 8)
        self._watch()

    def _report(self, frame: int, now: float) -> None:
        """Sender reports of both streams, for the same moment of the same timeline."""
        if self._origin_ntp is None:
            self._origin_ntp = (rtcp.ntp_time(now), frame)
        ntp, first = self._origin_ntp
        ntp += (frame - first) * 2**32 // FPS
        self._round_trip.reported(ntp)
        for stream, block in ((self._video, None), (self._audio, self._microphone_block())):
            info = rtcp.SenderInfo(stream.ssrc, ntp, stream.timestamp(frame), stream.packets, stream.octets)
            self._transport.send_control(rtcp.sender_report(info, self._cname, block))

    def _microphone_block(self) -> rtcp.ReceiverBlock | None:
        heard = self._microphone
        if heard is None or not heard.received:
            return None
        last_report, at = self._mic_report
        delay = int((time.monotonic() - at) * 65536) if last_report else 0
        return heard.report_block(last_report, delay)

    def _watch(self) -> None:
        """Notice that a client fell silent, or came back."""
        silent = time.monotonic() - self._connection.heard_at > SILENCE_SECONDS
        if silent and self._state == "connected":
            self._state = "disconnected"
            if self._listener is not None:
                self._listener.disconnected("silent")
        elif not silent and self._state == "disconnected":
            self._state = "connected"
            if self._listener is not None:
                self._listener.connected()
            self._open()

    # --- Receiving --------------------------------------------------------------------------

    def rtp_received(self, packet: bytes) -> None:
        if self._microphone is not None:
            self._microphone.packet(packet)

    def rtcp_received(self, packet: bytes) -> None:
        with suppress(ValueError, IndexError, struct.error):
            self._take(rtcp.read_feedback(packet, self._video.ssrc))

    def _take(self, feedback: rtcp.Feedback) -> None:
        if feedback.sender is not None:
            ntp = feedback.sender.sender_info.ntp_timestamp
            self._mic_report = (ntp >> 16 & 0xFFFFFFFF, time.monotonic())
        if feedback.lost:
            self._video.resend(feedback.lost, rtcp.abs_send_time(time.time()))
        if feedback.estimate_bps is not None:
            self._quality.estimated(feedback.estimate_bps)
        for block in feedback.reports:
            self._take_block(block)
        if feedback.keyframe:
            self._want_keyframe()

    def _take_block(self, block: RtcpReceiverInfo) -> None:
        self._round_trip.answered(block)
        if block.ssrc == self._video.ssrc:
            self._quality.reported(block.fraction_lost / 256)
            self._jitter_ms = block.jitter / 90

    def _want_keyframe(self) -> None:
        if self._transcoder is not None:
            self._transcoder.keyframe()
            return
        now = time.monotonic()
        if self._listener is not None and now - self._keyframe_asked >= KEYFRAME_SECONDS:
            self._keyframe_asked = now
            self._listener.keyframe_wanted()

    def _heard(self, pcm: bytes) -> None:
        if self._listener is not None:
            self._listener.microphone(pcm)

    def _quality_changed(self, level: Level) -> None:
        if self._transcoder is not None:
            self._transcoder.lower(level == "low")
        if self._listener is not None:
            self._listener.quality(level)

    def stats(self) -> PeerStats:
        """The figures of this moment."""
        microphone = self._microphone
        return PeerStats(
            rtt_ms=self._round_trip.milliseconds,
            loss=self._quality.loss,
            bandwidth_bps=self._quality.estimate_bps,
            packets_sent=self._transport.packets_sent,
            bytes_sent=self._transport.bytes_sent,
            packets_resent=self._video.resent,
            av_offset_ms=0.0,
            codec=self._offer.video_codec.name,
            transcoding=self._offer.video_codec.name != "h264",
            jitter_ms=self._jitter_ms,
            microphone_packets=microphone.received if microphone else 0,
            microphone_lost=microphone.lost if microphone else 0,
            level=self._quality.level,
            candidate=self._connection.chosen(),
        )


def _video_config(offer: sdp.Offer) -> StreamConfig:
    section, codec = offer.video, offer.video_codec
    rtx = section.rtx_of(codec)
    return StreamConfig(
        payload_type=codec.payload_type,
        ticks_per_frame=VIDEO_TICKS_PER_FRAME,
        extensions=Extensions(
            section.mid, section.extensions.get(sdp.MID, 0), section.extensions.get(sdp.ABS_SEND_TIME, 0)
        ),
        rtx_payload_type=rtx.payload_type if rtx else None,
        resend="nack" in codec.feedback,
    )


def _audio_config(offer: sdp.Offer) -> StreamConfig:
    section, codec = offer.audio, offer.audio_codec
    if section is None or codec is None:
        return StreamConfig(0, SAMPLES_PER_FRAME, Extensions())
    extensions = Extensions(section.mid, section.extensions.get(sdp.MID, 0))
    return StreamConfig(codec.payload_type, SAMPLES_PER_FRAME, extensions)


def _microphone(
    offer: sdp.Offer, deliver: Callable[[bytes], None], now: Callable[[], float]
) -> Microphone | None:
    section, codec = offer.audio, offer.audio_codec
    if section is None or codec is None or section.direction == "recvonly":
        return None
    return Microphone(codec.payload_type, section.extensions.get(sdp.AUDIO_LEVEL, 0), deliver, now)
