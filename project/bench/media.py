"""What a customer of a live session saw and heard, and when: judged where it arrives.

Sound is always judged (a packet costs 30 microseconds); pictures are decoded only when asked for.
Times are monotonic seconds of this process.
"""

import bisect
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from project.bench.peer import Arrival, LightPeer
from rtc.frames import FRAME_SECONDS
from rtc.inbound import Decoder, decoder
from rtc.payloads import FU_A, STAP_A
from workers.adapters.avatar.mock.card import UnreadableCardError, read_card

PACKET_SECONDS = 0.020
AUDIBLE_DB = -50.0
SILENT_BYTES = 3  # a packet of comfort sound; speech, even its pauses, takes more
REPAIR_SECONDS = 0.4  # how long a picture may wait for a packet that is sent again
FREEZE_SECONDS = 0.150  # longer than usual by this much is a freeze (as browsers count)


@dataclass(slots=True)
class Sound:
    """One packet of 20 ms: when it came, its RTP time, its size, and how loud it is (RMS, dBFS)."""

    at: float
    timestamp: int
    size: int
    loudness: float
    sequence: int

    @property
    def audible(self) -> bool:
        return self.loudness > AUDIBLE_DB

    @property
    def speech(self) -> bool:
        """Of an utterance, be it a pause in it; not comfort sound."""
        return self.size > SILENT_BYTES


@dataclass(slots=True)
class Picture:
    """One complete picture: when it was complete and its RTP time; decoded where that was asked for."""

    at: float
    timestamp: int
    keyframe: bool
    size: int
    decoded: bool = False
    level: float | None = None  # mouth level that a test card shows
    card: int | None = None  # ... and its frame number


@dataclass(frozen=True, slots=True)
class VideoFigures:
    """How fluent the pictures of a span came. `fps` counts pictures; freezes are longer pauses."""

    frames: int
    seconds: float
    fps: float
    freezes: int
    longest_ms: float
    lost: int


@dataclass
class Watcher:
    """Listens to a `LightPeer`: `LightPeer(on_packet=watcher)`."""

    decode: bool = False
    read_cards: bool = False
    sounds: list[Sound] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    incomplete: int = 0  # pictures that lacked packets
    undecodable: int = 0
    first_picture_at: float | None = None

    def __post_init__(self) -> None:
        self._opus: Decoder = decoder()
        self._h264: Any = av.CodecContext.create("h264", "r") if self.decode else None
        self._waiting: dict[int, Arrival] = {}
        self._parts: list[Arrival] = []
        self._next_video: int | None = None
        self._whole = True
        self._decodable = False

    def needs(self, kind: str, size: int) -> bool:
        """Whether the payload of such a packet matters; others need not be decrypted."""
        if kind == "audio":
            return size > SILENT_BYTES
        return self.decode or self.first_picture_at is None

    def __call__(self, packet: Arrival) -> None:
        if packet.kind == "audio":
            self._hear(packet)
        else:
            self._see(packet)

    # --- Sound --------------------------------------------------------------------------------

    def _hear(self, packet: Arrival) -> None:
        silent = packet.size <= SILENT_BYTES
        loudness = -math.inf if silent else loudness_of(self._opus.decode(packet.payload))
        self.sounds.append(Sound(packet.at, packet.timestamp, packet.size, loudness, packet.sequence))

    def span(self, since: float, until: float = math.inf) -> list[Sound]:
        """The packets of a span."""
        first = bisect.bisect_left(self.sounds, since, key=_came)
        return self.sounds[first : bisect.bisect_left(self.sounds, until, lo=first, key=_came)]

    def heard(self, since: float, until: float = math.inf) -> list[Sound]:
        """The audible packets of a span."""
        return [sound for sound in self.span(since, until) if sound.audible]

    def first_audible(self, since: float) -> float | None:
        return next((sound.at for sound in self.span(since) if sound.audible), None)

    def silent_at(self, since: float) -> float | None:
        """When the first packet of comfort sound came after which nothing of an utterance did any more.

        A pause between two sentences, however long, is no silence: the utterance goes on.
        """
        silent: float | None = None
        for sound in self.span(since):
            if sound.speech:
                silent = None
            elif silent is None:
                silent = sound.at
        return silent

    def realtime_ratio(self, since: float, until: float = math.inf) -> float | None:
        """Speech received by the time it took: 1.0 is in time, less is late (it had to be waited for)."""
        spoken = [sound for sound in self.span(since, until) if sound.speech]
        if len(spoken) < 2:
            return None
        passed = spoken[-1].at - spoken[0].at + 2 * PACKET_SECONDS  # packets come in pairs
        return min(1.0, len(spoken) * PACKET_SECONDS / passed)

    # --- Pictures -----------------------------------------------------------------------------

    def _see(self, packet: Arrival) -> None:
        """Put packets in order, waiting a little for those that are sent again."""
        if self._next_video is None:
            self._next_video = packet.sequence
        ahead = (packet.sequence - self._next_video) & 0xFFFF
        if ahead >= 0x8000:
            return  # it was given up before it came
        self._waiting[packet.sequence] = packet
        if ahead and packet.at - min(each.at for each in self._waiting.values()) > REPAIR_SECONDS:
            self._next_video = min(self._waiting, key=lambda each: (each - packet.sequence + 0x8000) & 0xFFFF)
            self._whole = False
        while (following := self._waiting.pop(self._next_video, None)) is not None:
            self._next_video = (self._next_video + 1) & 0xFFFF
            self._add(following, packet.at)

    def _add(self, packet: Arrival, now: float) -> None:
        if self._parts and self._parts[0].timestamp != packet.timestamp:
            self._finish(now)
        self._parts.append(packet)
        if packet.marker:
            self._finish(now)

    def _finish(self, now: float) -> None:
        parts, whole = self._parts, self._whole
        self._parts, self._whole = [], True
        if not whole or not parts[-1].marker:
            self.incomplete += 1
            self._decodable = False
            return
        size = sum(part.size for part in parts)
        picture = Picture(now, parts[0].timestamp, parts[0].keyframe, size)
        self._decodable = self._decodable or picture.keyframe
        self.pictures.append(picture)
        if self._h264 is not None:
            self._decode(picture, parts)
        elif self._decodable and self.first_picture_at is None:
            self.first_picture_at = picture.at

    def _decode(self, picture: Picture, parts: Sequence[Arrival]) -> None:
        packet = av.Packet(annex_b([part.payload for part in parts]))
        try:
            frames = self._h264.decode(packet)
        except av.FFmpegError:
            self.undecodable += 1
            return
        picture.decoded = bool(frames)
        if frames and self.first_picture_at is None:
            self.first_picture_at = time.monotonic()
        if frames and self.read_cards:
            _read_card(picture, frames[0])

    def video(self, since: float = 0.0, until: float = math.inf, *, lost: int = 0) -> VideoFigures:
        """Judge the pictures that came in a span."""
        times = [picture.at for picture in self.pictures if since <= picture.at < until]
        if len(times) < 2:
            return VideoFigures(len(times), 0.0, 0.0, 0, 0.0, lost)
        gaps = np.diff(times)
        limit = max(3 * FRAME_SECONDS, FRAME_SECONDS + FREEZE_SECONDS)
        seconds = times[-1] - times[0]
        return VideoFigures(
            frames=len(times),
            seconds=seconds,
            fps=(len(times) - 1) / seconds,
            freezes=int((gaps > limit).sum()),
            longest_ms=1000 * float(gaps.max()),
            lost=lost,
        )

    def media_time(self, since: float) -> tuple[float, float] | None:
        """How far video and sound went on in media time since then, in seconds; for drift."""
        shown = [p for p in self.pictures if p.at >= since]
        spoken = [s for s in self.sounds if s.at >= since]
        if len(shown) < 2 or len(spoken) < 2:
            return None
        seen = (shown[-1].timestamp - shown[0].timestamp & 0xFFFFFFFF) / 90_000
        return seen, (spoken[-1].timestamp - spoken[0].timestamp & 0xFFFFFFFF) / 48_000


def _came(sound: Sound) -> float:
    return sound.at


def _read_card(picture: Picture, frame: Any) -> None:
    try:
        picture.card, picture.level = read_card(frame.to_ndarray(format="yuv420p"))
    except UnreadableCardError:
        picture.card = picture.level = None


def loudness_of(pcm: bytes) -> float:
    """RMS of s16le sound in dBFS."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float32)
    power = float((samples**2).mean()) if len(samples) else 0.0
    return 10 * math.log10(power / 32768**2) if power > 0 else -math.inf


def annex_b(payloads: Sequence[bytes]) -> bytes:
    """Put the RTP payloads of one picture together again."""
    out = bytearray()
    for payload in payloads:
        kind = payload[0] & 0x1F
        if kind == FU_A:
            if payload[1] & 0x80:
                out += b"\0\0\0\1" + bytes((payload[0] & 0xE0 | payload[1] & 0x1F,))
            out += payload[2:]
        elif kind == STAP_A:
            at = 1
            while at + 2 < len(payload):
                size = int.from_bytes(payload[at : at + 2], "big")
                out += b"\0\0\0\1" + payload[at + 2 : at + 2 + size]
                at += 2 + size
        else:
            out += b"\0\0\0\1" + payload
    return bytes(out)


# --- Lips and voice -----------------------------------------------------------------------------


def av_offset_ms(watcher: Watcher, peer: LightPeer, since: float = 0.0) -> float | None:
    """How much the voice lags behind the lips, in ms, seen by a card and heard (negative: leads).

    Places both on the sender's clock by its reports, and finds the shift at which the card's mouth
    levels follow the loudness of the sound best. Needs `read_cards` and some seconds of speech.
    """
    seen = _timeline(peer, "video", [(p.timestamp, p.level) for p in watcher.pictures if p.at >= since])
    heard = _timeline(
        peer, "audio", [(s.timestamp, _level(s.loudness)) for s in watcher.sounds if s.at >= since]
    )
    if seen is None or heard is None or seen[1].max(initial=0.0) == 0:
        return None
    grid = np.arange(seen[0][0] + 0.5, seen[0][-1] - 0.5, 0.005)
    if len(grid) < 200:
        return None
    # A mouth level is that of the 40 ms it is shown; a packet's loudness of its 20 ms: compare at
    # their middles.
    lips = np.interp(grid, seen[0] + 0.020, seen[1])
    shifts = np.arange(-0.400, 0.4001, 0.005)
    scores = [_correlation(lips, np.interp(grid + shift, heard[0] + 0.010, heard[1])) for shift in shifts]
    best = int(np.argmax(scores))
    return None if scores[best] < 0.5 else float(shifts[best] * 1000)


def _timeline(
    peer: LightPeer, kind: str, points: Sequence[tuple[int, float | None]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    known = [(stamp, level) for stamp, level in points if level is not None]
    times = on_sender_clock(peer, kind, [stamp for stamp, _ in known])
    if times is None or len(known) < 10:
        return None
    return times, np.array([level for _, level in known], np.float64)


def on_sender_clock(peer: LightPeer, kind: str, stamps: Sequence[int]) -> NDArray[np.float64] | None:
    """When the sender presents these RTP times of a stream, in seconds that both streams share.

    None before the sender reported on the stream.
    """
    report = peer.streams[kind].sender_report
    if report is None:
        return None
    clock = 90_000 if kind == "video" else 48_000
    behind = (np.array(stamps, np.int64) - report[1] + 2**31) % 2**32 - 2**31
    times: NDArray[np.float64] = (
        (report[0] >> 32) % 100_000 + (report[0] & 0xFFFFFFFF) / 2**32 + behind / clock
    )
    return times


def _level(decibels: float) -> float:
    """As a card shows loudness: 0 at -50 dBFS, 1 at -10."""
    return min(1.0, max(0.0, (decibels + 50.0) / 40.0))


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
