"""With a real broker: how long a live request waits behind clips, and where a worker's own requests go."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery
from kombu import Queue

from project.celery import app as service
from tests.support.celery_worker import celery_worker
from tests.support.valkey import valkey_server
from workers.gpu.queues import live_first, ordered

OWN = "worker.one@x"
LIVE, OTHER_LIVE, BATCH = "live.a", "live.b", "batch.a"


class Fragments:
    """Tasks that write down when they begin, and end one by one as they are told."""

    def __init__(self, url: str) -> None:
        self.begun: list[str] = []
        self.changed = threading.Condition()
        self.may_end = threading.Semaphore(0)
        self.app = Celery("fragments", broker=url, set_as_current=False)
        self.app.conf.update(
            task_queues=[Queue(name) for name in (LIVE, OTHER_LIVE, BATCH)],
            task_default_queue=BATCH,
            worker_hijack_root_logger=False,
            **{name: getattr(service.conf, name) for name in LIKE_THE_SERVICE},
        )
        live_first(self.app, OWN)

        @self.app.task(name="draw", shared=False)
        def draw(name: str) -> None:
            with self.changed:
                self.begun.append(name)
                self.changed.notify_all()
            self.may_end.acquire(timeout=20)

        self.draw = draw

    def ask(self, queue: str, *names: str) -> None:
        for name in names:
            self.draw.apply_async((name,), queue=queue)

    def wait(self, count: int) -> list[str]:
        """Return what has begun once it is so many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.begun) >= count, 20), self.begun
            return list(self.begun)

    def end(self, count: int) -> None:
        self.may_end.release(count)

    @contextmanager
    def drawn_by(self, threads: int) -> Iterator[None]:
        queues = ",".join(ordered([BATCH, LIVE, OTHER_LIVE, OWN]))
        with celery_worker(self.app, pool="threads", concurrency=threads, queues=queues):
            yield


LIKE_THE_SERVICE = (
    "broker_transport_options",
    "task_acks_late",
    "task_ignore_result",
    "task_create_missing_queues",
    "worker_prefetch_multiplier",
    "worker_disable_prefetch",
)


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    with valkey_server() as url:
        yield url


@pytest.fixture
def fragments(valkey: str, request: Any) -> Fragments:
    made = Fragments(valkey)
    made.app.conf.broker_transport_options = {
        **made.app.conf.broker_transport_options,
        "global_keyprefix": f"{request.node.name}:",
    }
    return made


def test_a_live_request_waits_for_one_fragment_of_a_backlog(fragments: Fragments) -> None:
    fragments.ask(BATCH, *"12345678")
    with fragments.drawn_by(threads=1):
        fragments.wait(1)
        fragments.ask(LIVE, "live")
        fragments.end(1)
        fragments.wait(2)
        fragments.end(1)
        fragments.wait(3)
        fragments.ask(OTHER_LIVE, "other")
        fragments.ask(OWN, "own")
        fragments.end(3)
        assert fragments.wait(6)[:6] == ["1", "live", "2", "own", "other", "3"]
        fragments.end(20)
        assert fragments.wait(11)[6:] == ["4", "5", "6", "7", "8"]


def test_any_thread_that_is_free_first_takes_it(fragments: Fragments) -> None:
    fragments.ask(BATCH, *"12345678")
    with fragments.drawn_by(threads=3):
        fragments.wait(3)
        fragments.ask(LIVE, "live")
        fragments.end(1)
        assert fragments.wait(4)[3] == "live"
        fragments.end(20)
        fragments.wait(9)


def test_sessions_of_several_models_take_turns(fragments: Fragments) -> None:
    fragments.ask(LIVE, "a1", "a2", "a3")
    fragments.ask(OTHER_LIVE, "b1", "b2", "b3")
    fragments.ask(BATCH, "1")
    fragments.end(20)
    with fragments.drawn_by(threads=1):
        assert fragments.wait(7) == ["a1", "b1", "a2", "b2", "a3", "b3", "1"]
