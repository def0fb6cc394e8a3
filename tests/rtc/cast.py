"""Segments, idle loops and a listener for the tests of playout: pictures that say which they are."""

from rtc.frames import AccessUnit, IdleLoop, PlayedRun, Segment
from rtc.playout import Playout

LOOP_FRAMES = 50
KEYINT = 5


def idle_loop(frames: int = LOOP_FRAMES, name: str = "idle") -> IdleLoop:
    return IdleLoop(tuple(AccessUnit(f"{name}:{n}".encode(), n % KEYINT == 0) for n in range(frames)))


def segment(
    utterance: int = 0,
    index: int = 0,
    *,
    epoch: int = 0,
    phase: int = 0,
    frames: int = 5,
    last: bool = False,
    tag: object = None,
) -> Segment:
    name = f"speech:{epoch}:{utterance}:{index}"
    units = tuple(AccessUnit(f"{name}:{n}".encode(), n == 0) for n in range(frames))
    packets = tuple(f"sound:{epoch}:{utterance}:{index}:{n}".encode() for n in range(2 * frames))
    return Segment(epoch, utterance, index, phase, units, packets, last, tag)


class Told:
    """A listener that remembers everything in order."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []
        self.runs: list[PlayedRun] = []

    def started(self, epoch: int, utterance: int, frame: int) -> None:
        self.events.append(("started", epoch, utterance, frame))

    def ended(self, epoch: int, utterance: int, frame: int, samples: int, *, interrupted: bool) -> None:
        self.events.append(("ended", epoch, utterance, frame, samples, interrupted))

    def underrun(self, epoch: int, utterance: int, frame: int) -> None:
        self.events.append(("underrun", epoch, utterance, frame))

    def resumed(self, epoch: int, utterance: int, frame: int) -> None:
        self.events.append(("resumed", epoch, utterance, frame))

    def run(self, run: PlayedRun) -> None:
        self.runs.append(run)


def playing(listener: Told, *segments: Segment, idle: IdleLoop | None = None) -> Playout:
    playout = Playout(idle or idle_loop(), listener=listener)
    for each in segments:
        assert playout.push(each)
    return playout


def pictures(playout: Playout, frames: int) -> list[str]:
    """Present this many frames and say what was shown."""
    return [playout.tick(playout.frame).video.data.decode() for _ in range(frames)]
