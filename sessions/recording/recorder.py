"""Writes down what a session plays and hears, beside its media and never in their way.

Every few seconds what was really presented, with the fragments and the sound it came from and the
customer's voice, becomes one numbered part in storage. A process that dies loses at most that.
While storage is away the parts wait in memory, up to a limit, and are stored in order afterwards.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rtc.frames import SAMPLES_PER_FRAME, PlayedRun
from sessions.recording.microphone import Strips
from sessions.recording.parts import Run, Sheet, pack
from storage import recordings
from storage.errors import StorageError

PART_SECONDS = 3.0
RETRY_SECONDS = 1.0
GIVE_UP_SECONDS = 120.0  # after the end of a session whose last parts nobody takes
LIMIT_BYTES = 192 * 1024 * 1024  # what may wait in one process
FRAME_BYTES = 2 * SAMPLES_PER_FRAME

Put = Callable[[str, int, int, bytes], None]

_log = logging.getLogger(__name__)
# Threads of their own: a store that hangs must not hold up what else the process does in threads.
_threads = ThreadPoolExecutor(2, thread_name_prefix="recordings")
_going: set[asyncio.Task[None]] = set()


class Budget:
    """How much may wait for storage in this process."""

    def __init__(self, limit: int) -> None:
        self._limit, self.used = limit, 0

    def take(self, size: int) -> bool:
        """Ask for room; False when there is none."""
        if self.used + size > self._limit:
            return False
        self.used += size
        return True

    def give(self, size: int) -> None:
        self.used -= size


_budget = Budget(LIMIT_BYTES)


@dataclass(slots=True, eq=False)
class Take:
    """A fragment and its sound (48 kHz mono s16le), kept in case it is played."""

    fragment: bytes
    pcm48k: bytes
    utterance: int
    number: int = -1  # once it was played


class Recorder:
    """Records one session for one host. To be used on the event loop; no call waits.

    `fence` is the host's number: parts of different hosts have different keys. `flush` makes playout
    tell what it played so far.
    """

    def __init__(
        self,
        session_id: str,
        fence: int,
        *,
        flush: Callable[[], None] = lambda: None,
        put: Put = recordings.put_part,
        budget: Budget = _budget,
        part_seconds: float = PART_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        give_up_seconds: float = GIVE_UP_SECONDS,
    ) -> None:
        self._session_id, self._fence = session_id, fence
        self._flush, self._put, self._budget = flush, put, budget
        self._part_seconds, self._retry_seconds = part_seconds, retry_seconds
        self._give_up_seconds = give_up_seconds
        self._sheet = Sheet()
        self._strips = Strips()
        self._takes = 0
        self._parts = 0
        self._waiting: deque[tuple[Sheet, int]] = deque()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def fragment(self, fragment: bytes, pcm48k: bytes, utterance: int) -> Take:
        """Note a fragment that may be played; the result is the tag of its segment."""
        return Take(fragment, pcm48k, utterance)

    def played(self, run: PlayedRun) -> None:
        """Note frames that were presented."""
        take = run.tag if isinstance(run.tag, Take) else None
        if run.kind == "speech" and take is not None:
            self._speech(run, take)
        elif run.kind == "idle":
            self._sheet.runs.append(Run(run.frame, run.frames, -1, run.offset))
        self._begin()

    def microphone(self, pcm16k: bytes, at_ms: int) -> None:
        """Note sound of the customer that arrived at `at_ms` of the timeline; 16 kHz mono s16le."""
        if at_ms > 0:  # the timeline begins with the first frame
            self._strips.feed(pcm16k, at_ms)
            self._begin()

    async def close(self) -> None:
        """Note that this host is done, and wait until everything is stored.

        Giving up the wait harms nothing: what is left is stored in the background.
        """
        self._flush()
        if self._fence > 1:
            self._begin()  # an earlier host has recorded, and somebody waits for the end of it
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _speech(self, run: PlayedRun, take: Take) -> None:
        if take.number < 0:
            take.number, self._takes = self._takes, self._takes + 1
            self._sheet.takes.append((take.number, take.fragment))
            take.fragment = b""
        sound = take.pcm48k[run.offset * FRAME_BYTES : (run.offset + run.frames) * FRAME_BYTES]
        self._sheet.speech.append((run.frame, sound))
        self._sheet.runs.append(Run(run.frame, run.frames, take.number, run.offset))

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._write(), name=f"{self._session_id} recording")
            _going.add(self._task)
            self._task.add_done_callback(_going.discard)

    async def _write(self) -> None:
        """Turn the pages; storing goes on beside it, so that a store that hangs holds up nothing."""
        storing: asyncio.Task[None] | None = None
        over = False
        while not over:
            await _event_or(self._closing, self._part_seconds)
            over = self._closing.is_set()
            self._flush()
            self._turn_page(closed=over)
            if self._waiting and (storing is None or storing.done()):
                storing = asyncio.create_task(self._store(), name=f"{self._session_id} parts")
        if storing is not None:
            await asyncio.wait([storing], timeout=self._give_up_seconds)
            storing.cancel()
        if self._waiting:
            _log.error("%s: %d parts of the recording are lost", self._session_id, len(self._waiting))
            self._drop_all()

    def _turn_page(self, *, closed: bool) -> None:
        """Put what has come together in line for storage; without its media when there is no room."""
        sheet, self._sheet = self._sheet, Sheet()
        sheet.microphone, sheet.closed = self._strips.take(), closed
        if sheet.empty:
            return
        size = sheet.size
        if not self._budget.take(size):
            _log.error("%s: no room for %d bytes of the recording", self._session_id, size)
            sheet = Sheet(sheet.runs, lost=size, closed=closed)
            size = 0
        self._waiting.append((sheet, size))

    async def _store(self) -> None:
        """Store what waits, in order, however often it takes."""
        loop, away = asyncio.get_running_loop(), False
        while self._waiting:
            sheet, size = self._waiting[0]
            try:
                await loop.run_in_executor(_threads, self._put_sheet, sheet, self._parts)
            except (StorageError, OSError) as error:
                if not away:
                    _log.warning("%s: the recording waits for storage: %s", self._session_id, error)
                away = True
                await asyncio.sleep(self._retry_seconds)
                continue
            self._waiting.popleft()
            self._budget.give(size)
            self._parts += 1
            away = False

    def _put_sheet(self, sheet: Sheet, number: int) -> None:
        self._put(self._session_id, self._fence, number, pack(sheet))

    def _drop_all(self) -> None:
        while self._waiting:
            self._budget.give(self._waiting.popleft()[1])


async def _event_or(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
