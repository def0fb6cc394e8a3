"""`viseme`: a portrait that talks, drawn on a CPU.

A frame is put together from parts that were drawn before: the portrait in one of a few head and
breath poses, a mouth blended from the four nearest shapes, and lids. Only the mouth is moved to
the head's place for each frame, so a frame costs little more than copying it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from workers.adapters.avatar.base import I420, AudioWindow, Background, Profile, Renderer
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.avatar.viseme.bundle import unpack
from workers.adapters.avatar.viseme.drawing import Artist, Portrait
from workers.adapters.avatar.viseme.mouth import Track, hear


@dataclass(frozen=True, slots=True)
class VisemePose:
    """All that one frame depends on."""

    frame: int
    opening: float
    width: float


@dataclass(slots=True)
class VisemeStream:
    artist: Artist


@dataclass(frozen=True, slots=True)
class VisemeFeatures:
    start_frame: int
    track: Track


class VisemeRenderer(Renderer):
    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def load(self, bundle: bytes) -> Portrait:
        return Portrait(unpack(bundle))

    def open_stream(
        self, avatar: Portrait, *, start_frame: int = 0, background: Background | None = None
    ) -> VisemeStream:
        return VisemeStream(avatar.artist(None if background is None else background.image))

    def extract_features(self, stream: VisemeStream, window: AudioWindow) -> VisemeFeatures:
        return VisemeFeatures(window.start_frame, hear(window))

    def infer(self, stream: VisemeStream, features: VisemeFeatures) -> Sequence[VisemePose]:
        track = features.track
        pairs = zip(track.opening.tolist(), track.width.tolist(), strict=True)
        return [VisemePose(features.start_frame + place, *pair) for place, pair in enumerate(pairs)]

    def compose_frame(self, stream: VisemeStream, pose: VisemePose) -> I420:
        return stream.artist.draw(pose.frame, pose.opening, pose.width)


def resting(frame: int) -> VisemePose:
    """The pose of an idle frame."""
    return VisemePose(frame, 0.0, 0.0)


def make(config: ModelConfig, runtime: Runtime) -> VisemeRenderer:
    """It draws on a CPU of its own, so what the process offers is not needed."""
    return VisemeRenderer(config.profile)
