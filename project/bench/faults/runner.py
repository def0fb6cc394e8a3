"""One run: a batch and conversations while parts die, then everything is looked at."""

import asyncio
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import av
import httpx

from project.bench.faults import plan as plans
from project.bench.faults.batch import Batch, Receiver
from project.bench.faults.breaker import Breaker
from project.bench.faults.films import Film
from project.bench.faults.inside import MARK
from project.bench.faults.invariants import Seen
from project.bench.faults.plan import Failure, Plan
from project.bench.faults.talk import Customers
from project.bench.target import Target

LOOK_SECONDS = 0.5
SETTLE_SECONDS = 2.0
# A fault that waits for progress does not wait longer: the work may be all but done, or wait itself.
PATIENCE_SECONDS = 60.0
FETCH_SECONDS = 60.0
TELL = "from project.bench.faults import inside; inside.tell()"


class Run:
    """A plan carried out on a stack. `play` does everything up to the stop of the stack."""

    def __init__(self, plan: Plan, target: Target, avatar: str, card: str = "") -> None:
        if target.stack is None:
            raise ValueError("only a stack of our own may be broken")
        self._plan, self._target, self._stack = plan, target, target.stack
        self._avatar, self._card = avatar, card
        self.began = time.monotonic()
        self.breaker = Breaker(target, self.began)
        self.progress: list[tuple[float, float]] = []
        self.asked_again = 0
        self.spared = 0
        self.lost: list[str] = []

    def play(self) -> Seen:
        with Receiver() as receiver, tempfile.TemporaryDirectory(prefix="parley-faults-") as folder:
            batch = self._batch(receiver)
            customers = Customers(
                self._target.base_url,
                self._target.api_key,
                self._avatar,
                self._card if self._plan.sessions.cards else "",
                self._plan.sessions,
                self._plan.seed,
            )
            over = threading.Event()
            with _talking(customers, over):
                batch.start()
                try:
                    self._break(batch)
                    self._wait_for(batch)
                finally:
                    over.set()
                    if batch.error is not None or not batch.over:
                        batch.stop()
            self.breaker.say("the batch and the conversations are over")
            last = asyncio.run(customers.one()) if self._plan.sessions.at_once else None
            self.breaker.say("everything was asked once more")
            facts = self._settled()
            self.breaker.say("everything has settled")
            cards = {one.id for one in batch.accepted if one.order.card}
            cards |= {talk.id for talk in customers.talks if talk.cards}
            seen = Seen(
                accepted=batch.accepted,
                refused=[*batch.refused, *([repr(batch.error)] if batch.error else []), *_unposted(batch)],
                told=receiver.by_subject(),
                films=self._films(facts, Path(folder), cards),
                talks=customers.talks,
                last_talk=last,
                facts=facts,
                status=self._stack.status(),
                lost=self.lost,
                away=self.breaker.away,
                happened=len(self.breaker.broken),
                spared=self.spared,
                strangers=strangers(self._stack.supervisor_pid, self._stack.everything()),
            )
            self.asked_again = batch.asked_again
        return seen

    def _batch(self, receiver: Receiver) -> Batch:
        return Batch(
            client=lambda: self._target.client,
            orders=plans.orders(self._plan),
            avatar=self._avatar,
            callback_url=receiver.url,
            at_once=self._plan.clips.at_once,
            card=self._card,
        )

    # --- While it goes on -------------------------------------------------------------------

    def _break(self, batch: Batch) -> None:
        waiting = plans.failures(self._plan)
        while waiting and not batch.over:
            together = [waiting.pop(0)]
            while together[-1].with_next and waiting:
                together.append(waiting.pop(0))
            self._wait_until(partial(_reached, batch, together[0].at), batch, PATIENCE_SECONDS)
            if not batch.over:
                self._happen(_distinct(together))
                self._wait_until(lambda: batch.over, batch, self._plan.failures.spare_seconds)
        self.spared = len(waiting)
        if waiting:
            self.breaker.say(f"the batch was done before {len(waiting)} failures")

    def _happen(self, failures: Sequence[Failure]) -> None:
        """Break parts; one that does not come back fails its check, and the run goes on."""
        try:
            self.breaker.happen(failures)
        except AssertionError as error:
            told = str(error).partition("\n")[0]
            self.breaker.say(told)
            self.lost.append(told)

    def _wait_for(self, batch: Batch) -> None:
        self._wait_until(lambda: batch.over, batch, self._plan.end_seconds)

    def _wait_until(self, condition: Callable[[], bool], batch: Batch, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not condition() and time.monotonic() < until:
            done = sum(one.status in ("succeeded", "failed", "canceled") for one in list(batch.accepted))
            self.progress.append((round(time.monotonic() - self.began, 1), float(done)))
            time.sleep(LOOK_SECONDS)

    # --- When it is over ----------------------------------------------------------------------

    def _settled(self) -> dict[str, Any]:
        """What the stack holds once nobody has anything left to do, or when patience is at its end."""
        until = time.monotonic() + self._plan.end_seconds
        with suppress(AssertionError):  # told by the check of the supervisor
            self._stack.wait_healthy(self._plan.end_seconds)
        while True:
            facts = self._facts()
            restless = _restless(facts)
            if not restless or time.monotonic() > until:
                return facts
            self.breaker.say(f"waiting for {restless}")
            time.sleep(SETTLE_SECONDS)

    def _facts(self) -> dict[str, Any]:
        told = self._stack.manage("shell", "-v", "0", "-c", TELL)
        line = next(line for line in told.splitlines() if line.startswith(MARK))
        return dict(json.loads(line.removeprefix(MARK)))

    def _films(self, facts: dict[str, Any], folder: Path, cards: Collection[str]) -> dict[str, Film]:
        films: dict[str, Film] = {}
        with self._target.client as http:
            for clip in facts["clips"]:
                if clip["status"] == "succeeded":
                    name = clip["id"]
                    _fetch(http, f"/api/v1/clips/{name}/video", folder / name, films, cards=name in cards)
            for row in facts["recordings"]:
                if row["status"] == "ready":
                    name = row["session_id"]
                    path = f"/api/v1/recordings/{row['id']}/video"
                    _fetch(http, path, folder / name, films, cards=name in cards)
        return films


def _restless(facts: dict[str, Any]) -> str:
    """What somebody still has to do; "" where all is done."""
    tables = [f"{table} {state}" for table, _, state in facts["unfinished"]]
    leases = [f"lease on {table}" for table, _ in facts["leases"]]
    queues = [f"queue {queue}" for queue, depth in facts["queues"].items() if depth]
    counts = Counter([*tables, *leases, *queues])
    return ", ".join(f"{what} ({count})" for what, count in sorted(counts.items()))


def _unposted(batch: Batch) -> list[str]:
    """Orders for which the time of the run was too short: neither accepted nor refused."""
    missing = len(batch.orders) - len(batch.accepted) - len(batch.refused)
    return [f"{missing} orders were never posted"] if missing and not batch.error else []


def _reached(batch: Batch, share: float) -> bool:
    return batch.over or batch.progress >= share


def _distinct(together: Sequence[Failure]) -> list[Failure]:
    """Failures of different parts: what is dead already cannot die again at the same moment."""
    found: dict[str, Failure] = {}
    for failure in together:
        found.setdefault(failure.kind.part, failure)
    return list(found.values())


def _fetch(http: httpx.Client, path: str, file: Path, films: dict[str, Film], *, cards: bool = False) -> None:
    """Look at one video; one that cannot be had or decoded is left out, which its check tells."""
    with suppress(httpx.HTTPError, av.FFmpegError, OSError):
        answer = http.get(path)
        link = answer.headers["location"] if answer.is_redirect else str(answer.raise_for_status().url)
        file.write_bytes(httpx.get(link, timeout=FETCH_SECONDS).raise_for_status().content)
        films[file.name] = Film.of(file, cards=cards)
    file.unlink(missing_ok=True)


@contextmanager
def _talking(customers: Customers, over: threading.Event) -> Iterator[None]:
    """Let customers talk on a thread with a loop of its own; leaving waits for their last words."""
    errors: list[BaseException] = []

    def talk() -> None:
        try:
            asyncio.run(customers.run(over.is_set))
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    thread = threading.Thread(target=talk, name="customers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if errors:
        raise errors[0]


def strangers(supervisor: int, pids: Sequence[int]) -> list[str]:
    """Processes of the stack that its supervisor did not start, or lost: those of parts that died."""
    found = []
    for pid in pids:
        with suppress(OSError):  # it ended meanwhile
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if supervisor not in _ancestors(pid):
                found.append(f"{pid} {command.strip()[:120]}")
    return found


def _ancestors(pid: int) -> list[int]:
    line = [pid]
    while line[-1] > 1:
        after_name = Path(f"/proc/{line[-1]}/stat").read_text().rpartition(")")[2].split()
        line.append(int(after_name[1]))
    return line
