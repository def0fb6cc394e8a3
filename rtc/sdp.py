"""Reads a client's offer: what this service supports of it, and a name for what is wrong with it.

One transport carries everything (BUNDLE), RTCP is multiplexed, candidates may trickle.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rtc.errors import PeerError

MAX_BYTES = 64 * 1024
MAX_SECTIONS = 12
MAX_CANDIDATES = 64
MAX_LINES = 2000

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
MEDIA = ("audio", "video")
# A one-byte header extension has room for these ids; 15 ends the list.
MAX_EXTENSION_ID = 14

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
Setup = Literal["active", "passive"]
DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")

ICE_WORD = re.compile(r"[A-Za-z0-9+/=_-]{4,256}")
TOKEN = re.compile(r"[!-~]{1,64}")
FINGERPRINT = re.compile(r"([0-9A-Fa-f]{2}:){19,63}[0-9A-Fa-f]{2}")


@dataclass(frozen=True, slots=True)
class Codec:
    """A payload type of a section. `name` is lower case, `fmtp` the parameters as they were written."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    fmtp: str = ""
    feedback: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, str]:
        pairs = (item.strip().partition("=") for item in self.fmtp.split(";"))
        return {name.lower(): value for name, _, value in pairs if name}


@dataclass(frozen=True, slots=True)
class RemoteCandidate:
    """A remote address that checks may be sent to: UDP, component 1, a literal IP address."""

    foundation: str
    priority: int
    host: str
    port: int
    kind: str


@dataclass(slots=True)
class Section:
    """One media section (`m=` and what follows) of an offer."""

    index: int
    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    mid: str = ""
    direction: Direction = "sendrecv"
    rtcp_mux: bool = False
    setup: str = ""
    ice_ufrag: str = ""
    ice_pwd: str = ""
    fingerprints: list[tuple[str, str]] = field(default_factory=list)
    codecs: list[Codec] = field(default_factory=list)
    extensions: dict[str, int] = field(default_factory=dict)
    candidates: list[RemoteCandidate] = field(default_factory=list)
    ssrcs: list[int] = field(default_factory=list)

    def rtx_of(self, codec: Codec) -> Codec | None:
        wanted = str(codec.payload_type)
        return next((c for c in self.codecs if c.name == "rtx" and c.parameters.get("apt") == wanted), None)


@dataclass(frozen=True, slots=True)
class Offer:
    """What we need to know of an offer.

    `transport` is the section whose ICE and DTLS parameters hold for all of the bundle.
    `video_codec` is H.264 (constrained baseline, packetization mode 1), or VP8 where there is none.
    """

    sections: tuple[Section, ...]
    bundle: tuple[str, ...]
    transport: Section
    video: Section
    video_codec: Codec
    audio: Section | None
    audio_codec: Codec | None
    ice_lite: bool

    @property
    def fingerprints(self) -> tuple[tuple[str, str], ...]:
        return tuple(self.transport.fingerprints)

    @property
    def setup(self) -> Setup:
        """Our side of the DTLS handshake: we start it unless the client insists on doing so."""
        return "passive" if self.transport.setup == "active" else "active"


def read_offer(text: str) -> Offer:
    """Raises `PeerError` with a code that says what is wrong."""
    if len(text) > MAX_BYTES:
        raise PeerError("sdp_too_large", f"The session description is longer than {MAX_BYTES} bytes")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != "v=0" or len(lines) > MAX_LINES:
        raise _invalid("it does not start with v=0, or has too many lines")
    sections, session = _sections(lines)
    _inherit(sections, session)
    return _choose(sections, session)


def _choose(sections: list[Section], session: _Session) -> Offer:
    video = _first(sections, "video", ("sendrecv", "recvonly"))
    if video is None:
        raise PeerError("sdp_without_video", "The offer has no video section that could receive a picture")
    audio = _first(sections, "audio", ("sendrecv", "recvonly", "sendonly"))
    used = [section for section in (audio, video) if section is not None]
    bundle = session.bundle or ((video.mid,) if len(used) == 1 else ())
    if any(section.mid not in bundle for section in used):
        raise _invalid("audio and video are not bundled on one transport")
    # Where the first section of a bundle is refused, the next one's transport carries the bundle.
    transport = min(used, key=lambda section: bundle.index(section.mid))
    for section in used:
        _check_transport(section)
    return Offer(
        sections=tuple(sections),
        bundle=bundle,
        transport=transport,
        video=video,
        video_codec=video_codec(video),
        audio=audio,
        audio_codec=audio_codec(audio) if audio else None,
        ice_lite=session.ice_lite,
    )


def _first(sections: Iterable[Section], kind: str, directions: Sequence[str]) -> Section | None:
    return next((s for s in sections if s.kind == kind and s.port != 0 and s.direction in directions), None)


def _check_transport(section: Section) -> None:
    if not (ICE_WORD.fullmatch(section.ice_ufrag) and ICE_WORD.fullmatch(section.ice_pwd)):
        raise _invalid("ICE credentials are missing or malformed")
    if not section.fingerprints:
        raise _invalid("there is no DTLS fingerprint")
    if section.setup not in ("actpass", "active", "passive"):
        raise _invalid("there is no usable setup attribute")
    if section.kind in MEDIA and not section.rtcp_mux:
        raise _invalid("RTCP multiplexing is not offered")


def video_codec(section: Section) -> Codec:
    """The best codec for us: H.264 that our fragments fit, else VP8, which costs an encoder."""
    rank = {"42e0": 0, "42c0": 0, "4200": 1, "4280": 1}
    fitting = [
        (rank[profile], codec)
        for codec in section.codecs
        if codec.name == "h264"
        and codec.parameters.get("packetization-mode") == "1"
        and (profile := codec.parameters.get("profile-level-id", "42e01f")[:4].lower()) in rank
    ]
    if fitting:
        return min(fitting, key=lambda pair: pair[0])[1]
    for codec in section.codecs:
        if codec.name == "vp8":
            return codec
    raise PeerError(
        "sdp_without_codec", "The offer's video has neither H.264 (baseline, packetization mode 1) nor VP8"
    )


def audio_codec(section: Section) -> Codec:
    for codec in section.codecs:
        if codec.name == "opus":
            return codec
    raise PeerError("sdp_without_codec", "The offer's audio has no Opus")


@dataclass(slots=True)
class _Session:
    bundle: tuple[str, ...] = ()
    ice_lite: bool = False
    shared: Section = field(default_factory=lambda: Section(-1, "session", 0, "", ()))


def _sections(lines: list[str]) -> tuple[list[Section], _Session]:
    session = _Session()
    sections: list[Section] = []
    builder = _Builder(session.shared)
    for line in lines:
        if line.startswith("m="):
            if len(sections) == MAX_SECTIONS:
                raise PeerError("sdp_too_large", f"The offer has more than {MAX_SECTIONS} media sections")
            builder.finish()
            sections.append(_media_line(len(sections), line))
            builder = _Builder(sections[-1])
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            if not sections and name == "group" and value.startswith("BUNDLE "):
                session.bundle = tuple(value.split()[1:])
            elif not sections and name == "ice-lite":
                session.ice_lite = True
            else:
                builder.attribute(name, value)
    builder.finish()
    if sum(len(section.candidates) for section in sections) > MAX_CANDIDATES:
        raise PeerError("candidates_too_many", f"The offer has more than {MAX_CANDIDATES} candidates")
    return sections, session


def _media_line(index: int, line: str) -> Section:
    words = line[2:].split()
    if len(words) < 4 or not words[1].isdecimal() or int(words[1]) > 65535:
        raise _invalid(f"media section {index} is malformed")
    return Section(index, words[0], int(words[1]), words[2], tuple(words[3:]))


class _Builder:
    """Takes the attributes of one section; codecs need several of them together."""

    def __init__(self, section: Section) -> None:
        self._section = section
        self._maps: dict[int, tuple[str, int, int]] = {}
        self._fmtp: dict[int, str] = {}
        self._feedback: dict[str, list[str]] = {}

    def attribute(self, name: str, value: str) -> None:
        section = self._section
        if name in DIRECTIONS:
            section.direction = name
        elif name == "rtcp-mux":
            section.rtcp_mux = True
        elif name == "mid":
            section.mid = _token(value, "mid")
        elif name == "setup":
            section.setup = value
        elif name == "ice-ufrag":
            section.ice_ufrag = value
        elif name == "ice-pwd":
            section.ice_pwd = value
        elif name == "fingerprint":
            section.fingerprints.append(_fingerprint(value))
        else:
            self._media_attribute(name, value)

    def _media_attribute(self, name: str, value: str) -> None:
        section = self._section
        head, _, rest = value.partition(" ")
        if name == "rtpmap":
            self._maps[_number(head, 127)] = _rtpmap(rest)
        elif name == "fmtp":
            self._fmtp[_number(head, 127)] = rest
        elif name == "rtcp-fb":
            self._feedback.setdefault(head, []).append(rest)
        elif name == "extmap":
            if (number := _number(head.partition("/")[0], 255)) <= MAX_EXTENSION_ID:
                section.extensions[rest.split(" ")[0]] = number
        elif name == "ssrc":
            if (ssrc := _number(head, 2**32 - 1)) not in section.ssrcs:
                section.ssrcs.append(ssrc)
        elif name == "candidate" and (candidate := read_candidate(value)) is not None:
            section.candidates.append(candidate)

    def finish(self) -> None:
        """Put codecs together, in the order of the client's preference."""
        offered = [int(word) for word in self._section.formats if word.isdecimal()]
        for number in offered:
            if number in self._maps:
                name, rate, channels = self._maps[number]
                feedback = (*self._feedback.get("*", ()), *self._feedback.get(str(number), ()))
                self._section.codecs.append(
                    Codec(number, name, rate, channels, self._fmtp.get(number, ""), feedback)
                )


def _inherit(sections: list[Section], session: _Session) -> None:
    """Transport attributes may stand once, before the first section."""
    mids = [section.mid for section in sections]
    if len(set(mids)) != len(mids):
        raise _invalid("two sections have the same mid")
    shared = session.shared
    for section in sections:
        section.setup = section.setup or shared.setup
        section.ice_ufrag = section.ice_ufrag or shared.ice_ufrag
        section.ice_pwd = section.ice_pwd or shared.ice_pwd
        section.fingerprints = section.fingerprints or shared.fingerprints


def read_candidate(value: str) -> RemoteCandidate | None:
    """Read the value of a candidate attribute; None for one that is well-formed but of no use to us.

    TCP candidates are, and names (mDNS): a browser that hides its addresses reaches ours, and is
    known by that from then on. Raises `PeerError` for anything malformed.
    """
    words = value.removeprefix("a=").removeprefix("candidate:").split()
    if len(words) < 8 or words[6] != "typ" or len(value) > 1000:
        raise PeerError("candidate_invalid", "An ICE candidate is malformed")
    component, priority, port = (_candidate_number(words[i]) for i in (1, 3, 5))
    if words[2].lower() != "udp" or component != 1 or words[7] not in ("host", "srflx", "prflx", "relay"):
        return None
    if words[4].endswith(".local"):
        return None
    try:
        host = ipaddress.ip_address(words[4])
    except ValueError:
        raise PeerError("candidate_invalid", "An ICE candidate has no IP address") from None
    if not 0 < port < 65536 or host.is_multicast or host.is_unspecified:
        raise PeerError("candidate_invalid", "An ICE candidate has an address that cannot be reached")
    return RemoteCandidate(words[0], priority, str(host), port, words[7])


def _candidate_number(word: str) -> int:
    if not word.isdecimal() or len(word) > 10:
        raise PeerError("candidate_invalid", "An ICE candidate is malformed")
    return int(word)


def _rtpmap(text: str) -> tuple[str, int, int]:
    name, *numbers = text.split("/")
    if not name or not numbers:
        raise _invalid("an rtpmap attribute is malformed")
    return name.lower(), _number(numbers[0], 10**6), _number(numbers[1], 255) if len(numbers) > 1 else 1


def _fingerprint(value: str) -> tuple[str, str]:
    algorithm, _, digest = value.partition(" ")
    if not FINGERPRINT.fullmatch(digest.strip()):
        raise _invalid("a DTLS fingerprint is malformed")
    return algorithm.lower(), digest.strip().upper()


def _number(word: str, largest: int) -> int:
    if not word.isascii() or not word.isdecimal() or len(word) > 10 or int(word) > largest:
        raise _invalid(f"{word[:20]!r} is not a number that fits")
    return int(word)


def _token(word: str, what: str) -> str:
    if not TOKEN.fullmatch(word):
        raise _invalid(f"a {what} is malformed")
    return word


def _invalid(why: str) -> PeerError:
    return PeerError("sdp_invalid", f"The session description cannot be used: {why}")
