"""Offers read, answers written."""

import contextlib

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given, settings
from hypothesis import strategies as st

from rtc.answer import LocalStream, LocalTransport, write_answer
from rtc.errors import PeerError
from rtc.sdp import MAX_CANDIDATES, read_candidate, read_offer
from tests.support.offers import CHROMIUM, DATA_CHANNEL, DIGEST, without, without_section

TRANSPORT = LocalTransport("abcd", "p" * 24, f"sha-256 {DIGEST}", ("1 1 udp 5 192.0.2.1 5000 typ host",))
VOICE, PICTURE = LocalStream(1001, 1002, "us", "voice"), LocalStream(2001, 2002, "us", "picture")


def answer(offer: str) -> str:
    return write_answer(read_offer(offer), TRANSPORT, VOICE, PICTURE, session_id=7)


def section(text: str, kind: str) -> str:
    return next(part for part in text.split("m=")[1:] if part.startswith(kind))


def refusal(offer: str) -> str:
    with pytest.raises(PeerError) as raised:
        read_offer(offer)
    return raised.value.code


def test_a_browsers_offer_is_understood() -> None:
    offer = read_offer(CHROMIUM)
    assert offer.bundle == ("0", "1")
    assert offer.transport.mid == "0"
    assert offer.video_codec.payload_type == 106, "constrained baseline before baseline"
    assert offer.audio_codec is not None
    assert offer.audio_codec.payload_type == 111
    assert offer.setup == "active"
    assert offer.fingerprints == (("sha-256", DIGEST),)
    rtx = offer.video.rtx_of(offer.video_codec)
    assert rtx is not None
    assert rtx.payload_type == 107


def test_the_answer_sends_one_picture_and_one_sound_and_takes_a_microphone() -> None:
    text = answer(CHROMIUM)
    audio, video = section(text, "audio"), section(text, "video")
    assert "a=sendrecv\r\n" in audio
    assert "a=sendonly\r\n" in video
    assert video.startswith("video 9 UDP/TLS/RTP/SAVPF 106 107\r\n")
    assert "a=ssrc-group:FID 2001 2002" in video
    assert "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid" in video
    assert "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time" in video
    assert "transport-wide-cc" not in text
    assert "transport-cc" not in text
    assert {line for line in video.splitlines() if "rtcp-fb" in line} == {
        *("a=rtcp-fb:106 nack", "a=rtcp-fb:106 nack pli", "a=rtcp-fb:106 goog-remb"),
    }


def test_lips_and_voice_share_a_stream_so_that_browsers_keep_them_together() -> None:
    text = answer(CHROMIUM)
    assert "a=msid:parley voice" in text
    assert "a=msid:parley picture" in text


def test_the_microphone_is_asked_for_as_recognition_wants_it() -> None:
    assert "maxplaybackrate=16000;maxaveragebitrate=32000;usedtx=1" in section(answer(CHROMIUM), "audio")


def test_aiortc_reads_the_answer() -> None:
    parsed = SessionDescription.parse(answer(CHROMIUM))
    assert [media.kind for media in parsed.media] == ["audio", "video"]
    assert parsed.media[1].rtp.codecs[0].parameters["packetization-mode"] == "1"
    assert parsed.media[0].ice_candidates[0].port == 5000


def test_a_client_that_insists_on_starting_dtls_may() -> None:
    text = answer(CHROMIUM.replace("a=setup:actpass", "a=setup:active"))
    assert "a=setup:passive" in text
    assert "a=setup:active" not in text


def test_a_listener_without_microphone_is_sent_to_only() -> None:
    assert "a=sendonly" in section(answer(CHROMIUM.replace("a=sendrecv", "a=recvonly")), "audio")


def test_a_data_channel_and_further_sections_are_refused_with_port_0() -> None:
    second = "m=video" + section(CHROMIUM, "video")[5:].replace("a=mid:1", "a=mid:3")
    offer = CHROMIUM.replace("BUNDLE 0 1", "BUNDLE 0 1 2 3") + DATA_CHANNEL + second
    text = answer(offer)
    assert "a=group:BUNDLE 0 1\r\n" in text
    assert section(text, "application").startswith("application 0 UDP/DTLS/SCTP webrtc-datachannel")
    assert text.count("m=video 0 ") == 1
    assert [part.split()[0] for part in text.split("m=")[1:]] == ["audio", "video", "application", "video"]


def test_the_transport_of_a_bundle_is_that_of_its_first_section_in_use() -> None:
    data = DATA_CHANNEL.replace("4ZcD", "OTHER")
    head, rest = CHROMIUM.split("m=", 1)
    offer = head.replace("BUNDLE 0 1", "BUNDLE 2 1 0") + data + "m=" + rest
    assert read_offer(offer).transport.kind == "video"


def test_without_h264_there_is_vp8() -> None:
    offer = read_offer(without(CHROMIUM, "a=rtpmap:102", "a=rtpmap:104", "a=rtpmap:106"))
    assert offer.video_codec.name == "vp8"
    assert "a=rtpmap:96 VP8/90000" in answer(
        without(CHROMIUM, "a=rtpmap:102", "a=rtpmap:104", "a=rtpmap:106")
    )


def test_h264_that_our_fragments_do_not_fit_is_not_taken() -> None:
    high = CHROMIUM.replace("profile-level-id=42e01f", "profile-level-id=640c1f")
    high = high.replace("profile-level-id=42001f", "profile-level-id=4d001f")
    assert read_offer(high).video_codec.name == "vp8"
    mode_0 = CHROMIUM.replace("packetization-mode=1", "packetization-mode=0")
    assert read_offer(mode_0).video_codec.name == "vp8"


def test_attributes_may_stand_before_the_first_section() -> None:
    head, rest = without(CHROMIUM, "a=ice-", "a=fingerprint", "a=setup").split("m=", 1)
    shared = "a=ice-ufrag:WXYZ\r\na=ice-pwd:" + "q" * 24
    shared += f"\r\na=fingerprint:sha-256 {DIGEST}\r\na=setup:actpass\r\n"
    offer = read_offer(head + shared + "m=" + rest)
    assert offer.transport.ice_ufrag == "WXYZ"


@pytest.mark.parametrize(
    ("offer", "code"),
    [
        ("", "sdp_invalid"),
        ("hello", "sdp_invalid"),
        ("v=0\r\n", "sdp_without_video"),
        (without_section(CHROMIUM, "video").replace("BUNDLE 0 1", "BUNDLE 0"), "sdp_without_video"),
        (CHROMIUM.replace("a=recvonly", "a=sendonly"), "sdp_without_video"),
        (CHROMIUM.replace("m=video 9", "m=video 0"), "sdp_without_video"),
        (without(CHROMIUM, "a=rtpmap:96", "a=rtpmap:10"), "sdp_without_codec"),
        (without(CHROMIUM, "a=rtpmap:111"), "sdp_without_codec"),
        (without(CHROMIUM, "a=group"), "sdp_invalid"),
        (without(CHROMIUM, "a=ice-ufrag"), "sdp_invalid"),
        (without(CHROMIUM, "a=ice-pwd"), "sdp_invalid"),
        (without(CHROMIUM, "a=fingerprint"), "sdp_invalid"),
        (without(CHROMIUM, "a=setup"), "sdp_invalid"),
        (without(CHROMIUM, "a=rtcp-mux"), "sdp_invalid"),
        (CHROMIUM.replace("a=mid:1", "a=mid:0"), "sdp_invalid"),
        (CHROMIUM.replace(DIGEST, "not a digest"), "sdp_invalid"),
        (CHROMIUM.replace("m=video 9", "m=video nine"), "sdp_invalid"),
        (CHROMIUM.replace("opus/48000/2", "opus"), "sdp_invalid"),
        (CHROMIUM.replace("rtpmap:111", "rtpmap:9999"), "sdp_invalid"),
        (CHROMIUM + "a=x\r\n" * 30_000, "sdp_too_large"),
        (CHROMIUM + "a=x\r\n" * 2_000, "sdp_invalid"),
        (CHROMIUM + DATA_CHANNEL * 20, "sdp_too_large"),
        (
            CHROMIUM + "a=candidate:1 1 udp 1 10.0.0.1 5000 typ host\r\n" * (MAX_CANDIDATES + 1),
            "candidates_too_many",
        ),
        (CHROMIUM + "a=candidate:1 1 udp\r\n", "candidate_invalid"),
    ],
)
def test_what_is_wrong_with_an_offer_has_a_name(offer: str, code: str) -> None:
    assert refusal(offer) == code


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_offer_is_answered_or_refused_but_nothing_else_happens(data: st.DataObject) -> None:
    lines = CHROMIUM.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = data.draw(st.one_of(st.text(max_size=40), st.just(lines[at][: at % 17]), st.just("")))
    with contextlib.suppress(PeerError):
        answer("\r\n".join(lines))


def test_candidates_are_taken_where_they_are_of_use() -> None:
    taken = read_candidate(
        "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0 rport 0"
    )
    assert taken is not None
    assert (taken.host, taken.port, taken.kind) == ("203.0.113.7", 46154, "srflx")
    assert read_candidate("1 1 UDP 2122260223 2001:db8::1 5000 typ host") is not None
    for useless in (
        "1 1 tcp 1518280447 10.0.0.1 9 typ host tcptype active",
        "1 2 udp 2122260222 10.0.0.1 5001 typ host",
        "1 1 udp 2122260223 1b2c3d4e.local 5000 typ host",
    ):
        assert read_candidate(useless) is None
