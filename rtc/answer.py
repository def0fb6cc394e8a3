"""Writes our answer to an offer.

We send one picture and one sound stream and take one microphone; further sections are answered with
port 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rtc.sdp import ABS_SEND_TIME, AUDIO_LEVEL, MID, Codec, Direction, Offer, Section

EXTENSIONS = {"audio": (MID, AUDIO_LEVEL), "video": (MID, ABS_SEND_TIME)}
FEEDBACK = {"audio": (), "video": ("nack", "nack pli", "ccm fir", "goog-remb")}


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """Our end: ICE credentials, certificate fingerprint, candidates as SDP values."""

    ice_ufrag: str
    ice_pwd: str
    fingerprint: str
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LocalStream:
    """What we send in a section."""

    ssrc: int
    rtx_ssrc: int
    cname: str
    track: str


def write_answer(
    offer: Offer, transport: LocalTransport, audio: LocalStream, video: LocalStream, *, session_id: int
) -> str:
    """Return the answer; the sections come in the offer's order, those we do not use with port 0."""
    streams = {offer.video.mid: (offer.video_codec, video)}
    if offer.audio is not None and offer.audio_codec is not None:
        streams[offer.audio.mid] = (offer.audio_codec, audio)
    used = [section.mid for section in offer.sections if section.mid in streams]
    lines = [
        "v=0",
        f"o=- {session_id} 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(used)}",
        "a=msid-semantic: WMS *",
    ]
    for section in offer.sections:
        if section.mid in streams:
            lines += _answer_section(offer, section, transport, *streams[section.mid])
        else:
            formats = " ".join(section.formats)
            lines += [f"m={section.kind} 0 {section.protocol} {formats}", "c=IN IP4 0.0.0.0"]
            lines += ["a=inactive", f"a=mid:{section.mid}"] if section.mid else ["a=inactive"]
    return "\r\n".join(lines) + "\r\n"


def answered_direction(section: Section) -> Direction:
    """Our direction: we send one picture and one sound, and take a microphone only."""
    if section.kind == "video":
        return "sendonly"
    opposite: dict[str, Direction] = {"sendonly": "recvonly", "recvonly": "sendonly", "sendrecv": "sendrecv"}
    return opposite[section.direction]


def _answer_section(
    offer: Offer, section: Section, transport: LocalTransport, codec: Codec, stream: LocalStream
) -> Iterator[str]:
    rtx = section.rtx_of(codec)
    formats = [codec.payload_type] + ([rtx.payload_type] if rtx else [])
    direction = answered_direction(section)
    yield f"m={section.kind} 9 {section.protocol} {' '.join(map(str, formats))}"
    yield from ("c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0", "a=rtcp-mux", f"a=mid:{section.mid}")
    yield f"a={direction}"
    for uri in EXTENSIONS[section.kind]:
        if uri in section.extensions:
            yield f"a=extmap:{section.extensions[uri]} {uri}"
    yield from _codec_lines(section.kind, codec, rtx)
    if direction != "recvonly":
        yield from _stream_lines(stream, with_rtx=rtx is not None)
    yield from (f"a=ice-ufrag:{transport.ice_ufrag}", f"a=ice-pwd:{transport.ice_pwd}")
    yield "a=ice-options:trickle"
    yield from (f"a=fingerprint:{transport.fingerprint}", f"a=setup:{offer.setup}")
    yield from (f"a=candidate:{candidate}" for candidate in transport.candidates)
    yield "a=end-of-candidates"


def _codec_lines(kind: str, codec: Codec, rtx: Codec | None) -> Iterator[str]:
    number = codec.payload_type
    name = {"opus": "opus/48000/2", "h264": "H264/90000", "vp8": "VP8/90000"}[codec.name]
    yield f"a=rtpmap:{number} {name}"
    if codec.name == "opus":
        # How we want the customer's microphone: what recognition hears is 16 kHz mono, and a
        # silent customer should cost nothing (DTX). The avatar's voice is mono as well.
        yield f"a=fmtp:{number} minptime=10;maxplaybackrate=16000;maxaveragebitrate=32000;usedtx=1"
    elif codec.fmtp:
        yield f"a=fmtp:{number} {codec.fmtp}"
    for feedback in FEEDBACK[kind]:
        if feedback in codec.feedback:
            yield f"a=rtcp-fb:{number} {feedback}"
    if rtx is not None:
        yield f"a=rtpmap:{rtx.payload_type} rtx/90000"
        yield f"a=fmtp:{rtx.payload_type} apt={number}"


def _stream_lines(stream: LocalStream, *, with_rtx: bool) -> Iterator[str]:
    # One stream id for both tracks: that is what makes a browser keep lips and voice together.
    yield f"a=msid:parley {stream.track}"
    if with_rtx:
        yield f"a=ssrc-group:FID {stream.ssrc} {stream.rtx_ssrc}"
    for ssrc in (stream.ssrc, stream.rtx_ssrc) if with_rtx else (stream.ssrc,):
        yield f"a=ssrc:{ssrc} cname:{stream.cname}"
