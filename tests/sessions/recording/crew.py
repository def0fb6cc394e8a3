"""A host for tests of recordings: a real playout and recorder, whose frames the test presents itself."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from project.accounts.models import User
from rtc.comfort import COMFORT
from rtc.frames import SAMPLES_PER_FRAME, IdleLoop, Segment
from rtc.packets import access_units
from rtc.playout import Playout
from sessions import services
from sessions.models import Recording, Session
from sessions.recording.recorder import Recorder
from storage import recordings
from tests.rtc.cast import Told
from tests.support.media import HEIGHT, WIDTH, numbered_frame, voice
from tests.support.objects import MemoryStore
from tests.support.sessions import started
from workers.rendering.encode import encode_fragment, encode_idle

LOOP_FRAMES = 20
FIRST_SPOKEN = 100  # pictures of speech are numbered from here, those of the loop by their phase

Sound = NDArray[np.int16]
AVATAR_VOICE = voice(12.0)
CUSTOMER_VOICE = voice(30.0, 16_000)[5 * 16_000 :]  # other pitches than the avatar's


@cache
def loop_file() -> bytes:
    return encode_idle(map(numbered_frame, range(LOOP_FRAMES)), width=WIDTH, height=HEIGHT).data


@cache
def fragment_file(first: int, frames: int) -> bytes:
    pictures = (numbered_frame(FIRST_SPOKEN + number) for number in range(first, first + frames))
    return encode_fragment(pictures, width=WIDTH, height=HEIGHT, crf=27).data


class Host:
    """Presents frames and writes them down. Speech is the voice of the avatar from its start on."""

    def __init__(self, store: MemoryStore, session_id: str, fence: int, first_frame: int = 0) -> None:
        put = partial(recordings.put_part, objects=store)
        self.told = Told()
        self.playout = Playout(
            IdleLoop(access_units(loop_file())), listener=self.told, first_frame=first_frame
        )
        self.recorder = Recorder(
            session_id, fence, put=put, flush=self.playout.flush, part_seconds=0.01, retry_seconds=0.01
        )
        self.told.run = self.recorder.played  # type: ignore[method-assign]
        self._said = 0
        self._customer: int | None = None  # since when the customer talks, as a frame

    def say(self, *lengths: int, last: bool = True) -> None:
        """Push one utterance in fragments of these lengths; its sound follows what was said before."""
        start = self.playout.phase
        for index, frames in enumerate(lengths):
            data, first = fragment_file(self._said, frames), self._said * SAMPLES_PER_FRAME
            sound = AVATAR_VOICE[first : first + frames * SAMPLES_PER_FRAME].tobytes()
            self._said += frames
            made = Segment(
                epoch=self.playout.epoch,
                utterance=0,
                index=index,
                start_phase=start % LOOP_FRAMES,
                units=access_units(data),
                packets=COMFORT * frames,
                last=last and index == len(lengths) - 1,
                tag=self.recorder.fragment(data, sound, 0),
            )
            assert self.playout.push(made)
            start += frames

    def customer(self, *, talks: bool) -> None:
        self._customer = self.playout.frame if talks else None

    async def show(self, frames: int, *, skipped: int = 0) -> None:
        """Present so many frames, after `skipped` in which the process stood still."""
        for number in range(frames):
            frame = self.playout.frame + (0 if number else skipped)
            if self._customer is not None:
                since = (frame - self._customer) * 640
                sound = CUSTOMER_VOICE[since : since + 640].tobytes()
                self.recorder.microphone(sound, (frame + 1) * 40)
            self.playout.tick(frame)
            if number % 10 == 9:
                await asyncio.sleep(0.004)

    async def stored(self) -> None:
        """Wait until everything that was presented is in storage."""
        self.playout.flush()
        async with asyncio.timeout(5):
            while self.recorder._sheet.runs or self.recorder._waiting:
                await asyncio.sleep(0.005)


def recorded(
    objects: MemoryStore, session: Session, fence: int, script: Callable[[Host], Awaitable[None]], **options
) -> None:
    """Host a session as the script says, to its orderly end unless the script ends before."""

    async def host() -> None:
        made = Host(objects, session.pk, fence, **options)
        await script(made)
        await made.recorder.close()

    asyncio.run(host())


def killed(
    objects: MemoryStore, session: Session, fence: int, script: Callable[[Host], Awaitable[None]], **options
) -> None:
    """The same, and then the process dies."""

    async def host() -> None:
        made = Host(objects, session.pk, fence, **options)
        await script(made)
        await made.stored()

    asyncio.run(host())


def begun(owner: User, avatar, objects: MemoryStore, **wanted) -> tuple[Session, int]:
    """A session with media, and its fence."""
    session, fence = started(owner, avatar, **wanted)
    objects.put_bytes("idle.mp4", loop_file(), "video/mp4")
    Session.objects.filter(pk=session.pk).update(idle_key="idle.mp4")
    services.session_media_started(session.pk, fence, datetime.now(UTC))
    return Session.objects.get(pk=session.pk), fence


def ended(session: Session, reason: str = "client_ended") -> Recording:
    services.session_end(session.pk, reason)
    return Recording.objects.get(session=session)
