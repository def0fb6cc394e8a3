"""What playout keeps whatever happens: random talk, interrupts, stalls, late pictures, lost viewers."""

from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtc.comfort import COMFORT
from rtc.frames import AccessUnit, IdleLoop, Segment, Tick
from rtc.packets import access_units
from rtc.playout import Playout
from tests.rtc.cast import LOOP_FRAMES, Told
from tests.rtc.cast import idle_loop as named_loop
from tests.rtc.cast import segment as named_segment
from tests.support.media import HEIGHT, WIDTH, frame_number, numbered_frame
from workers.rendering.encode import encode_fragment, encode_idle

LENGTHS = (5, 10)
FIRST_SPOKEN = 100  # pictures of speech are numbered from here, those of the loop by their phase


@dataclass
class Talk:
    """A pipeline that pushes segments in order, planned for the motion that comes next."""

    loop: IdleLoop = field(default_factory=named_loop)
    low: IdleLoop = field(default_factory=lambda: named_loop(name="low"))
    told: Told = field(default_factory=Told)
    ticks: list[Tick] = field(default_factory=list)
    interrupts: list[int] = field(default_factory=list)  # ticks presented before each
    utterance: int = 0
    index: int = 0
    planned: int | None = None
    held: bool = False
    holds: int = 0

    def __post_init__(self) -> None:
        self.playout = Playout(self.loop, listener=self.told)

    def make(self, phase: int, frames: int, *, last: bool) -> Segment:
        return named_segment(
            self.utterance, self.index, epoch=self.playout.epoch, phase=phase, frames=frames, last=last
        )

    def push(self, frames: int, late: int, *, last: bool) -> None:
        phase = self.playout.phase + late if self.planned is None else self.planned
        made = self.make(phase % len(self.loop), frames, last=last)
        assert self.playout.push(made)
        self.planned = phase + frames
        self.utterance, self.index = (self.utterance + 1, 0) if last else (self.utterance, self.index + 1)

    def tick(self, missed: int) -> None:
        self.ticks.append(self.playout.tick(self.playout.frame + missed))
        if not self.ticks[-1].speaking:
            self.planned = None if not self.playout.queued_frames() else self.planned

    def interrupt(self) -> None:
        self.interrupts.append(len(self.ticks))
        before = self.playout.epoch
        assert self.playout.interrupt() == before + 1
        assert not self.playout.push(named_segment(self.utterance, self.index, epoch=before))
        self.utterance = self.index = 0
        self.planned = None

    def hold(self) -> None:
        self.held = not self.held
        self.holds += self.held
        self.playout.hold(self.held)

    def change_idle(self) -> None:
        self.loop, self.low = self.low, self.loop
        self.playout.replace_idle(self.loop)


moves = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.sampled_from(LENGTHS), st.integers(-1, 3), st.booleans()),
        st.tuples(st.just("tick"), st.integers(1, 12), st.sampled_from((0, 0, 0, 0, 7, 50))),
        st.tuples(st.just("interrupt")),
        st.tuples(st.just("hold")),
        st.tuples(st.just("refresh")),
        st.tuples(st.just("idle")),
    ),
    max_size=40,
)


def play(talk: Talk, steps: list[tuple]) -> Talk:
    for name, *args in steps:
        if name == "push":
            talk.push(args[0], args[1], last=args[2])
        elif name == "tick":
            for number in range(args[0]):
                talk.tick(args[1] if number == 0 else 0)
        elif name == "interrupt":
            talk.interrupt()
        elif name == "hold":
            talk.hold()
        elif name == "refresh":
            talk.playout.refresh()
        else:
            talk.change_idle()
    talk.tick(0)
    talk.playout.flush()
    return talk


def spoken(tick: Tick) -> tuple[int, int, int, int]:
    """(epoch, utterance, segment, picture)."""
    return tuple(int(part) for part in tick.video.data.decode().split(":")[1:])


def phases(tick: Tick, segments: dict[tuple[int, int, int], int]) -> int:
    if tick.speaking:
        *place, offset = spoken(tick)
        return segments[tuple(place)] + offset
    return int(tick.video.data.decode().split(":")[1])


@given(moves)
def test_frame_numbers_grow_and_sound_stays_with_its_picture(steps):
    talk = play(Talk(), steps)

    frames = [tick.frame for tick in talk.ticks]
    assert frames == sorted(set(frames))
    for tick in talk.ticks:
        if not tick.speaking:
            assert tick.audio == COMFORT
            continue
        epoch, utterance, index, offset = spoken(tick)
        name = f"sound:{epoch}:{utterance}:{index}"
        assert tick.audio == (f"{name}:{2 * offset}".encode(), f"{name}:{2 * offset + 1}".encode())


@given(moves)
def test_nothing_of_an_older_epoch_leaves_after_an_interrupt(steps):
    talk = play(Talk(), steps)

    for number, tick in enumerate(talk.ticks):
        epoch = sum(at <= number for at in talk.interrupts)
        assert tick.epoch == epoch
        assert not tick.speaking or spoken(tick)[0] == epoch
    for at in talk.interrupts:
        cut = at and talk.ticks[at - 1].speaking
        if cut and at < len(talk.ticks):
            assert not talk.ticks[at].speaking
            assert talk.ticks[at].video.keyframe


@given(moves)
def test_every_picture_can_be_decoded_from_the_one_before(steps):
    talk = play(Talk(), steps)

    before = None
    for tick in talk.ticks:
        name, number = tick.video.data.decode().rsplit(":", 1)
        assert tick.video.keyframe or before == (name, int(number) - 1)
        before = (name, int(number))


@given(moves)
def test_an_utterance_is_played_in_order_and_whole_until_it_is_cut(steps):
    talk = play(Talk(), steps)

    heard = [spoken(tick) for tick in talk.ticks if tick.speaking]
    if not talk.holds:
        assert heard == sorted(set(heard))
    for before, after in pairwise(heard):
        if before[:3] == after[:3] and after[3] != 0:
            assert after[3] == before[3] + 1


@given(moves)
def test_the_listener_is_told_what_was_heard(steps):
    talk = play(Talk(), steps)

    counted: dict[tuple[int, int], set[tuple[int, int]]] = {}
    first: dict[tuple[int, int], int] = {}
    for tick in talk.ticks:
        if tick.speaking:
            epoch, utterance, *picture = spoken(tick)
            counted.setdefault((epoch, utterance), set()).add(tuple(picture))
            first.setdefault((epoch, utterance), tick.frame)
    started = {(event[1], event[2]): event[3] for event in talk.told.events if event[0] == "started"}
    assert started == first
    for event in talk.told.events:
        if event[0] == "ended" and not talk.holds:
            assert event[4] == 1920 * len(counted[event[1], event[2]])
    position = talk.playout.position()
    if position.utterance is not None and not talk.holds:
        assert position.samples == 1920 * len(counted[position.epoch, position.utterance])


@given(moves)
def test_underruns_and_resumptions_take_turns(steps):
    talk = play(Talk(), steps)

    names: dict[tuple[object, object], list[object]] = {}
    for event in talk.told.events:
        names.setdefault((event[1], event[2]), []).append(event[0])
    for each in names.values():
        assert each[0] == "started"
        assert each.count("started") == 1
        assert each.count("ended") <= 1
        assert "ended" not in each[:-1]
        waits = [name for name in each if name in ("underrun", "resumed")]
        assert waits[::2] == ["underrun"] * len(waits[::2])
        assert waits[1::2] == ["resumed"] * len(waits[1::2])


@given(moves)
def test_the_runs_tell_every_tick_once(steps):
    talk = play(Talk(), steps)

    told = []
    for run in talk.told.runs:
        told += [(run.frame + n, run.kind == "speech", run.offset + n, run.epoch) for n in range(run.frames)]
    shown = [
        (tick.frame, tick.speaking, int(tick.video.data.decode().rsplit(":", 1)[1]), tick.epoch)
        for tick in talk.ticks
    ]
    assert told == shown


@given(st.lists(st.tuples(st.sampled_from(LENGTHS), st.integers(-3, 3), st.integers(0, 30)), max_size=12))
def test_the_motion_never_jumps_by_more_than_three_frames(replies):
    """Each reply is planned for the motion that comes next, give or take three frames."""
    talk, starts = Talk(), {}
    for number, (frames, late, pause) in enumerate(replies):
        starts[number, 0, 0] = phase = (talk.playout.phase + late) % LOOP_FRAMES
        talk.playout.push(named_segment(epoch=number, phase=phase, frames=frames))
        for _ in range(pause):
            talk.tick(0)
        talk.interrupt()
        talk.tick(0)

    motion = [phases(tick, starts) for tick in talk.ticks]
    for before, after in pairwise(motion):
        jump = (after - before - 1) % LOOP_FRAMES
        assert min(jump, LOOP_FRAMES - jump) <= 3


@cache
def real_loop(crf: float) -> IdleLoop:
    pictures = (numbered_frame(number) for number in range(20))
    return IdleLoop(access_units(encode_idle(pictures, width=WIDTH, height=HEIGHT, crf=crf).data))


@cache
def real_units(first: int, frames: int) -> tuple[AccessUnit, ...]:
    pictures = [numbered_frame(first + number) for number in range(frames)]
    crf = 23 + first % 3 * 4
    return access_units(encode_fragment(pictures, width=WIDTH, height=HEIGHT, crf=crf).data)


class RealTalk(Talk):
    """The same with pictures that a decoder can judge."""

    def __init__(self) -> None:
        super().__init__(loop=real_loop(23), low=real_loop(31))
        self.made = 0

    def make(self, phase: int, frames: int, *, last: bool) -> Segment:
        first = FIRST_SPOKEN + self.made % 6 * 10
        self.made += 1
        return Segment(
            self.playout.epoch,
            self.utterance,
            self.index,
            phase,
            real_units(first, frames),
            COMFORT * frames,
            last,
            tag=first,
        )


def decoded(ticks: list[Tick]) -> list[int]:
    decoder = av.CodecContext.create("h264", "r")
    decoder.options = {"err_detect": "explode"}
    decoder.thread_count = 1
    frames = [frame for tick in ticks for frame in decoder.decode(av.Packet(tick.video.data))]
    frames += decoder.decode(None)
    assert not any(frame.is_corrupt for frame in frames)
    return [frame_number(frame.to_ndarray(format="yuv420p")[:HEIGHT]) for frame in frames]


@settings(max_examples=25, deadline=None)
@given(moves)
def test_a_decoder_shows_exactly_what_was_played(steps):
    talk = play(RealTalk(), steps)

    expected = []
    for run in talk.told.runs:
        first = run.tag if run.kind == "speech" else 0
        expected += range(first + run.offset, first + run.offset + run.frames)
    assert decoded(talk.ticks) == expected


def test_a_decoder_would_show_a_cut_that_is_none():
    """The judge of the test above: a tail without its head is not shown as itself."""
    units = real_units(FIRST_SPOKEN, 10)
    ticks = [Tick(n, unit, COMFORT, 0, speaking=True) for n, unit in enumerate((*units[:2], *units[5:]))]

    with pytest.raises((AssertionError, av.FFmpegError)):
        assert decoded(ticks) == [100, 101, 105, 106, 107, 108, 109]
