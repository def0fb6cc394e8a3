"""Where fragments begin and end. Pure arithmetic: the same sound gives the same plan after a crash.

The timeline is counted in samples at 48 kHz; a frame is 1920 of them. Fragments tile it: a short
first one, so that there is soon something to see, then equal ones, and what remains.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from workers.adapters.avatar.base import SAMPLE_RATE, Profile
from workers.adapters.avatar.base import SAMPLES_PER_FRAME as HEARD_PER_FRAME

TIMELINE_RATE = 48_000
SAMPLES_PER_FRAME = TIMELINE_RATE // 25  # 1920
MODEL_STEP = TIMELINE_RATE // SAMPLE_RATE  # a model hears every third sample
STREAM_AHEAD_FRAMES = 33
"""So much more a stateful model hears ahead: a server may draw other portions than its profile says, and
is kept busy with the next one."""


@dataclass(frozen=True, slots=True)
class Span:
    """Fragment `index` shows frames `start` to `start + frames - 1`."""

    index: int
    start: int
    frames: int

    @property
    def end(self) -> int:
        return self.start + self.frames


def hearing(profile: Profile) -> Profile:
    """The profile of a model as its clips are planned and heard."""
    if profile.stateless:
        return profile
    ahead = profile.lookahead_samples + STREAM_AHEAD_FRAMES * HEARD_PER_FRAME
    return replace(profile, lookahead_samples=ahead)


def spans(profile: Profile, planned: int, samples: int, *, complete: bool) -> Iterator[Span]:
    """Yield the fragments from number `planned` on whose sound is known.

    `samples` is how much of the timeline is known. A fragment is ready when the sound that its
    last frame looks ahead to is known as well, or when the timeline is `complete`; what remains
    then becomes the last fragment.
    """
    ahead = profile.lookahead_samples * MODEL_STEP
    known = whole_frames(samples) if complete else max(samples - ahead, 0) // SAMPLES_PER_FRAME
    index, start = planned, first_frame(profile, planned)
    while start < known:
        frames = profile.fragment_frames if index else profile.first_fragment_frames
        if start + frames > known:
            if not complete:
                return
            frames = known - start
        yield Span(index, start, frames)
        index, start = index + 1, start + frames


def first_frame(profile: Profile, index: int) -> int:
    """Return the frame that fragment `index` begins with."""
    if index == 0:
        return 0
    return profile.first_fragment_frames + (index - 1) * profile.fragment_frames


def whole_frames(samples: int) -> int:
    """Return the frames that hold so many samples, the last one padded with silence."""
    return -(-samples // SAMPLES_PER_FRAME)
