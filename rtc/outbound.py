"""What a peer sends: the picture and sound of each frame, reports about both, and lost packets again."""

from __future__ import annotations

import secrets
import time

from rtc import rtcp, sdp
from rtc.frames import FPS, FRAME_MS, PACKETS_PER_FRAME, SAMPLES_PER_FRAME, SAMPLES_PER_PACKET, Tick
from rtc.opening import Opening
from rtc.payloads import payloads_of, vp8_payloads
from rtc.sender import VIDEO_TICKS_PER_FRAME, Extensions, RtpStream, StreamConfig
from rtc.transport import MediaTransport
from rtc.vp8 import Transcoder


class Outbound:
    """Both streams of a peer. `show` remembers, `send` sends; nothing waits."""

    def __init__(self, offer: sdp.Offer, transport: MediaTransport) -> None:
        self.video = RtpStream(_video_config(offer), transport.send)
        self.audio = RtpStream(_audio_config(offer), transport.send)
        self.cname = secrets.token_hex(8)
        self.round_trip = rtcp.RoundTrip(time.monotonic)
        self._transport = transport
        self._with_sound = offer.audio is not None and offer.audio.direction != "sendonly"
        self._transcodes = offer.video_codec.name != "h264"
        self._transcoder: Transcoder | None = None
        self._opening = Opening()
        self._await_keyframe = True
        self._origin: tuple[int, int] | None = None  # NTP time of a frame, and which
        self._counted_octets = 0
        self._shown = self._sounded = 0  # the last frames whose picture and sound were sent

    def show(self, tick: Tick) -> None:
        """Remember what is presented, for the moment at which a client is there to see it."""
        self._opening.presented(tick, time.time())

    def begin(self) -> bool:
        """A client is there: show it the current picture. False when it needs a key frame first."""
        if self._transcodes:
            self._transcoder = self._transcoder or Transcoder(self._transcoded)
            self._transcoder.keyframe()
            return True
        now = time.time()
        self._await_keyframe = True
        for unit, time_on_clock in self._opening.pictures(now):
            self._await_keyframe = False
            timestamp = self.video.timestamp(0, time_on_clock)
            self.video.send(payloads_of(unit), timestamp, rtcp.abs_send_time(now), marked=True)
        return not self._await_keyframe

    def send(self, tick: Tick) -> None:
        send_time = rtcp.abs_send_time(time.time())
        if self._with_sound:
            self._sounded = tick.frame
            for index in range(PACKETS_PER_FRAME):
                timestamp = self.audio.timestamp(tick.frame, index * SAMPLES_PER_PACKET)
                self.audio.send((tick.audio[index],), timestamp, send_time, marked=False)
        if self._transcoder is not None:
            self._transcoder.push(tick.video, tick.frame)
        elif tick.video.keyframe or not self._await_keyframe:  # before one nobody could decode it
            self._await_keyframe = False
            self._shown = tick.frame
            timestamp = self.video.timestamp(tick.frame)
            self.video.send(payloads_of(tick.video), timestamp, send_time, marked=True)

    def _transcoded(self, data: bytes, frame: int) -> None:
        send_time = rtcp.abs_send_time(time.time())
        payloads = tuple(vp8_payloads(data, frame))
        self._shown = frame
        self.video.send(payloads, self.video.timestamp(frame), send_time, marked=True)

    def second_passed(self) -> int:
        """Return the bits of video since the last call; new allowances begin."""
        octets, self._counted_octets = self.video.octets - self._counted_octets, self.video.octets
        self.video.second_passed()
        return octets * 8

    def report(self, frame: int, heard: rtcp.ReceiverBlock | None) -> None:
        """Send reports of both streams, for the same moment of the same timeline.

        `heard` is what we tell the client about its microphone.
        """
        if self._origin is None:
            self._origin = (rtcp.ntp_time(time.time()), frame)
        ntp, first = self._origin
        ntp += (frame - first) * 2**32 // FPS
        self.round_trip.reported(ntp)
        for stream, block in ((self.video, None), (self.audio, heard)):
            info = rtcp.SenderInfo(stream.ssrc, ntp, stream.timestamp(frame), stream.packets, stream.octets)
            self._transport.send_control(rtcp.sender_report(info, self.cname, block))

    @property
    def av_offset_ms(self) -> float:
        """How far the sound sent last lies behind the picture sent last, in ms of media time."""
        both = self._shown and self._sounded
        return (self._shown - self._sounded) * FRAME_MS if both else 0.0

    def again(self, lost: list[int]) -> None:
        """Send again what the client misses of the video."""
        self.video.resend(lost, rtcp.abs_send_time(time.time()))

    def keyframe(self) -> bool:
        """The client cannot decode any more. True when we help ourselves, False when playout must."""
        if self._transcoder is not None:
            self._transcoder.keyframe()
        return self._transcodes

    def lower(self, low: bool) -> None:
        if self._transcoder is not None:
            self._transcoder.lower(low)

    def close(self) -> None:
        if self._transport.state == "connected":
            self._transport.send_control(rtcp.goodbye(self.video.ssrc, self.audio.ssrc))
        if self._transcoder is not None:
            self._transcoder.close()


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
