"""A clip as an HLS stream while it renders, made from its fragments when a player asks."""

from collections.abc import Sequence
from functools import lru_cache

from generation.clips import presenter, states
from generation.clips.models import Clip, ClipFragment, ClipUtterance, FragmentStatus
from generation.clips.plan import SAMPLES_PER_FRAME
from project.errors import Conflict, Gone, NotFound
from storage import fragments
from storage.s3 import store
from workers.profiles import load_profile
from workers.rendering import hls
from workers.rendering.demux import read_fragment

NEIGHBOURS = 24 * 1024  # samples that the sound of a segment hears beyond its ends


def master(clip: Clip, token: str) -> str:
    """Return the playlist of playlists. Raises `Conflict` before the first fragment is there."""
    first = _first_fragment(clip)
    parts = read_fragment(first)
    return hls.master_playlist(
        video_uri=f"preview/video.m3u8?token={token}",
        audio_uri=f"preview/audio.m3u8?token={token}",
        width=parts.width,
        height=parts.height,
        codecs=hls.codecs(first),
    )


def playlist(clip: Clip, kind: str, token: str) -> str:
    """Return the playlist of `video` or `audio`: the fragments that are done, without a gap."""
    _watchable(clip)
    done = list(_playable(clip))
    ended = clip.status in states.TERMINAL or clip.fragments_total == len(done)
    segments = [hls.Segment(f"{kind}/{row.index}.m4s?token={token}", row.frames) for row in done]
    longest = load_profile(clip.model).fragment_frames
    return hls.media_playlist(
        segments, ended, init_uri=f"{kind}/init.mp4?token={token}", longest_frames=longest
    )


def init(clip: Clip, kind: str) -> bytes:
    return hls.audio_init_segment() if kind == "audio" else hls.init_segment(_first_fragment(clip))


def segment(clip: Clip, kind: str, index: int) -> bytes:
    """Return one segment. Raises `NotFound` for one that is not there (yet)."""
    _watchable(clip)
    row = ClipFragment.objects.filter(clip=clip, index=index, status=FragmentStatus.DONE).first()
    if row is None:
        raise NotFound("There is no such segment.")
    if kind == "audio":
        return hls.audio_segment(_sound(clip, row), index + 1, row.start_frame, row.frames)
    data = fragments.get_fragment(clip.pk, index)
    return hls.fragment_to_segment(data, index + 1, hls.decode_time(row.start_frame))


def _first_fragment(clip: Clip) -> bytes:
    _watchable(clip)
    if not ClipFragment.objects.filter(clip=clip, index=0, status=FragmentStatus.DONE).exists():
        raise Conflict("Nothing of this clip can be watched yet.", code="preview_not_ready")
    return _fragment(clip.pk, 0)


@lru_cache(maxsize=16)
def _fragment(clip_id: str, index: int) -> bytes:
    return fragments.get_fragment(clip_id, index)


def _watchable(clip: Clip) -> None:
    if presenter.is_expired(clip):
        raise Gone("The files of this clip have expired.", code="clip_expired")


def _playable(clip: Clip) -> Sequence[ClipFragment]:
    rows = ClipFragment.objects.filter(clip=clip).order_by("index").only("index", "frames", "status")
    playable: list[ClipFragment] = []
    for row in rows:
        if row.status != FragmentStatus.DONE:
            break
        playable.append(row)
    return playable


def _sound(clip: Clip, row: ClipFragment) -> hls.ReadSound:
    """Read the sound around a fragment."""
    start = row.start_frame * SAMPLES_PER_FRAME - NEIGHBOURS
    end = (row.start_frame + row.frames) * SAMPLES_PER_FRAME + NEIGHBOURS
    near = bytearray(2 * (end - start))
    for piece in ClipUtterance.objects.filter(clip=clip, start_sample__lt=end):
        left, right = max(piece.start_sample, start), min(piece.start_sample + piece.samples, end)
        if left < right:
            pcm = _pcm(piece.pcm_key)
            part = pcm[2 * (left - piece.start_sample) : 2 * (right - piece.start_sample)]
            near[2 * (left - start) : 2 * (right - start)] = part
    return hls.sound_reader(bytes(near), start)


@lru_cache(maxsize=8)
def _pcm(key: str) -> bytes:
    return store().get_bytes(key)
