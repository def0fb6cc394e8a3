"""A clip as an HLS event, playable while it renders (RFC 8216, CMAF segments).

A fragment becomes a media segment by new tables around the same samples; its decode time is its
first frame's. Sound is a rendition of its own, made from the stored sound for one segment at a
time: each segment's encoder hears a little more on both sides, so packets of neighbours meet as
if one encoder had made them, and any process can make any segment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import pack

from workers.rendering.aac import AacCodec
from workers.rendering.boxes import box, full_box
from workers.rendering.demux import read_fragment
from workers.rendering.movie import (
    AAC_SAMPLES,
    FPS,
    FRAME_TICKS,
    SAMPLES_PER_FRAME,
    SOUND_RATE,
    VIDEO_TIMESCALE,
    Track,
    movie_header,
    sample_entries,
    track_header,
    track_media,
)

WARM_UP = 16  # packets that an encoder makes before those which are used: it settles on the sound
_FILE_TYPE = box(b"ftyp", b"iso6", pack(">I", 0), b"iso6mp41cmfc")
_SEGMENT_TYPE = box(b"styp", b"msdh", pack(">I", 0), b"msdhmsixcmfc")
_SYNC, _DEPENDENT = 0x02000000, 0x01010000

ReadSound = Callable[[int, int], bytes]
"""(first sample, samples) -> 48 kHz mono s16le; silence outside of what there is."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One entry of a media playlist."""

    uri: str
    frames: int


@dataclass(frozen=True, slots=True)
class _Run:
    """Samples that follow each other, `delta` ticks each; a row of `trun` for each of them."""

    time: int
    delta: int
    row_flags: int
    rows: list[bytes]
    samples: list[bytes]


def init_segment(fragment: bytes) -> bytes:
    """Return the video's initialisation segment: the parameters of any fragment of the clip."""
    parts = read_fragment(fragment)
    return _init(Track("video", parts.entry, VIDEO_TIMESCALE, parts.width, parts.height))


def fragment_to_segment(data: bytes, sequence: int, base_decode_time: int) -> bytes:
    """Rewrite a fragment as a media segment.

    `sequence` counts segments from 1; `base_decode_time` is the first frame's place on the
    timeline in ticks of `VIDEO_TIMESCALE` (`decode_time` of its frame number). Raises
    `MalformedMedia`.
    """
    samples = read_fragment(data).samples
    rows = [pack(">II", len(each.data), _SYNC if each.sync else _DEPENDENT) for each in samples]
    run = _Run(base_decode_time, FRAME_TICKS, 0x600, rows, [bytes(each.data) for each in samples])
    return _segment(sequence, run)


def decode_time(frame: int) -> int:
    """Return a frame's place on the video's timeline."""
    return frame * FRAME_TICKS


def audio_init_segment(*, channels: int = 1) -> bytes:
    """Return the initialisation segment of the sound."""
    return _init(Track("audio", AacCodec(channels=channels).entry, SOUND_RATE))


def audio_segment(
    read: ReadSound, sequence: int, start_frame: int, frames: int, *, channels: int = 1
) -> bytes:
    """Encode the sound under `frames` frames as a media segment.

    AAC packets of 1024 samples do not end where frames do: a packet belongs to the segment in
    which it starts. The priming is left out, so the sound starts where the pictures do in players
    that ignore edit lists.
    """
    first = -(-start_frame * SAMPLES_PER_FRAME // AAC_SAMPLES)
    last = -(-(start_frame + frames) * SAMPLES_PER_FRAME // AAC_SAMPLES)
    codec = AacCodec(channels=channels)
    begin, end = (first - WARM_UP) * AAC_SAMPLES, (last + 2) * AAC_SAMPLES
    packets = codec.push(read(begin, end - begin)) + codec.flush()
    # Packet 0 is the priming; packet n + 1 is heard at sample n * 1024 of what was read.
    chosen = packets[WARM_UP + 1 : WARM_UP + 1 + last - first]
    rows = [pack(">I", len(packet)) for packet in chosen]
    return _segment(sequence, _Run(first * AAC_SAMPLES, AAC_SAMPLES, 0x200, rows, chosen))


def sound_reader(pcm: bytes, first_sample: int = 0) -> ReadSound:
    """Read from sound in memory that begins at `first_sample` of the timeline."""

    def read(start: int, samples: int) -> bytes:
        at, end = (start - first_sample) * 2, (start - first_sample + samples) * 2
        part = pcm[max(0, at) : max(0, end)]
        before = min(max(0, -at), samples * 2)
        return bytes(before) + part + bytes(samples * 2 - before - len(part))

    return read


def codecs(fragment: bytes) -> str:
    """Return the `CODECS` of a clip with this video (RFC 6381)."""
    entry = read_fragment(fragment).entry
    at = entry.index(b"avcC") + 5
    return f"avc1.{entry[at : at + 3].hex().upper()},mp4a.40.2"


def media_playlist(
    segments: Sequence[Segment], ended: bool, *, init_uri: str, longest_frames: int = 3 * FPS
) -> str:
    """Return a playlist that only ever grows; `ended` closes it.

    `longest_frames` bounds every segment of the clip, also those to come: the target duration may
    not change between reloads. Players start at the beginning, not at the live edge.
    """
    longest = max([longest_frames, *(segment.frames for segment in segments)])
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{math.ceil(longest / FPS)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        "#EXT-X-START:TIME-OFFSET=0,PRECISE=YES",
        f'#EXT-X-MAP:URI="{init_uri}"',
    ]
    for segment in segments:
        lines += [f"#EXTINF:{segment.frames / FPS:.5f},", segment.uri]
    if ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def master_playlist(
    *, video_uri: str, audio_uri: str, width: int, height: int, codecs: str, bandwidth: int = 1_500_000
) -> str:
    """Return the playlist of the playlists."""
    return (
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="Sound",DEFAULT=YES,AUTOSELECT=YES,'
        f'URI="{audio_uri}"\n'
        f'#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},CODECS="{codecs}",RESOLUTION={width}x{height},'
        f'FRAME-RATE={FPS:.3f},AUDIO="sound"\n{video_uri}\n'
    )


def _init(track: Track) -> bytes:
    empty = b"".join(full_box(kind, 0, 0, bytes(4)) for kind in (b"stts", b"stsc", b"stco"))
    table = box(b"stbl", sample_entries(track.entry), empty, full_box(b"stsz", 0, 0, bytes(8)))
    trak = box(b"trak", track_header(1, track), track_media(track, table, 0))
    extends = box(b"mvex", full_box(b"trex", 0, 0, pack(">5I", 1, 1, 0, 0, 0)))
    return _FILE_TYPE + box(b"moov", movie_header(0, 2), trak, extends)


def _segment(sequence: int, run: _Run) -> bytes:
    """Return `moof` and `mdat`; defaults in `tfhd`: duration, and flags where rows have none."""
    defaults = full_box(b"tfhd", 0, 0x020028, pack(">III", 1, run.delta, _SYNC))
    start = full_box(b"tfdt", 1, 0, pack(">Q", run.time))

    def header(offset: int) -> bytes:
        table = full_box(b"trun", 0, 0x001 | run.row_flags, pack(">Ii", len(run.rows), offset), *run.rows)
        number = full_box(b"mfhd", 0, 0, pack(">I", sequence))
        return box(b"moof", number, box(b"traf", defaults, start, table))

    return _SEGMENT_TYPE + header(len(header(0)) + 8) + box(b"mdat", *run.samples)
