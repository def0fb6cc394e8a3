"""`manage.py render_worker` before it takes work: what it refuses, and how it sets itself up."""

import io
import os
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import current_app
from django.core.management import call_command
from django.core.management.base import CommandError

from sessions.management.commands import render_worker
from tests.support.valkey import valkey_server
from workers import presence, profiles
from workers.gpu import current, figures


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    figures.forget()
    yield
    current.set_host(None)
    figures.forget()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Celery was asked to start, instead of a worker."""
    made: list[dict[str, Any]] = []

    class Worker:
        exitcode = 0

        def __init__(self, **options: Any) -> None:
            made.append(options)

        def start(self) -> None:
            made[-1]["started"] = True

    monkeypatch.setattr(type(current_app._get_current_object()), "Worker", Worker, raising=False)
    monkeypatch.setattr(render_worker, "live_first", lambda app, own: None)
    return made


@pytest.fixture
def broker(settings: Any) -> Iterator["redis.Redis"]:
    with valkey_server() as url, redis.Redis.from_url(url) as client:
        settings.REDIS_URL = url
        yield client


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("render_worker", *arguments, stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--models", "mock,typo"], "no model typo"),
        (["--models", " , "], "names none"),
        (["--models", "mock", "--no-live", "--no-batch"], "nothing is left"),
        (["--models", "mock", "--device", "tpu"], "device_missing"),
        (["--models", "mock", "--memory-mb", "1"], "Nothing can be served"),
        (["--models", "flashtalk"], "Nothing can be served"),
    ],
)
def test_what_makes_no_sense_is_refused(begun: list[dict[str, Any]], arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run(*arguments)
    assert begun == []


def test_it_says_what_it_serves_and_why_not_the_rest(begun: list[dict[str, Any]]) -> None:
    said = run("--models", "mock,flashtalk,viseme", "--name", "gpu@here", "--threads", "3")
    assert "Set FLASHTALK_URL." in said
    assert "gpu@here is ready: 3 threads" in said
    (worker,) = begun
    assert worker["started"]
    assert (worker["hostname"], worker["concurrency"], worker["pool_cls"]) == ("gpu@here", 3, "threads")
    assert worker["queues"] == [
        "worker.gpu@here", "live.mock", "live.viseme", "batch.mock", "batch.viseme",
    ]  # fmt: skip
    assert figures.figure("flashtalk").down
    assert not figures.figure("mock").problem


@pytest.mark.parametrize(
    ("option", "queues"),
    [("--no-live", ["worker.a@b", "batch.mock"]), ("--no-batch", ["worker.a@b", "live.mock"])],
)
def test_clips_and_sessions_can_be_kept_apart(
    begun: list[dict[str, Any]], option: str, queues: list[str]
) -> None:
    run("--models", "mock", "--name", "a@b", option)
    assert begun[0]["queues"] == queues


def test_it_tells_other_workers_nothing_that_nobody_hears(begun: list[dict[str, Any]]) -> None:
    run("--models", "mock", "--name", "a@b")
    assert all(begun[0][f"without_{part}"] for part in ("mingle", "gossip", "heartbeat"))


def test_each_worker_without_a_name_gets_one_of_its_own(
    begun: list[dict[str, Any]], broker: "redis.Redis"
) -> None:
    for _ in range(2):
        run("--models", "mock")
    first, second = (worker["hostname"] for worker in begun)
    assert first.startswith("cpu-1@")
    assert second.startswith("cpu-2@")
    broker.flushall()
    presence.announce(first, {})
    run("--models", "mock")
    assert begun[-1]["hostname"] == second


def test_a_process_sees_the_gpu_that_it_was_given_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert render_worker._only("cpu") == "cpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert render_worker._only("cuda:2") == "cuda:0"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb")
    assert render_worker._only("cuda:1") == "cuda:0"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-bb"
    with pytest.raises(CommandError, match="names 1"):
        render_worker._only("cuda:1")


def test_models_of_other_servers_get_threads_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render_worker.os, "sched_getaffinity", lambda _: set(range(16)))
    mock, remote = profiles.config("mock"), profiles.config("flashtalk")
    assert render_worker._threads([mock], "cpu") == 8
    assert render_worker._threads([mock], "cuda:0") == 8
    assert render_worker._threads([remote], "cpu") == 4
    assert render_worker._threads([mock, remote], "cuda:0") == 12


def test_a_heartbeat_tells_of_device_and_models(broker: "redis.Redis") -> None:
    figures.drew("mock", 50, 0.5, 12.0)
    figures.failed("flashtalk", "away", down=True)
    slots = {"live.mock": 8, "live.flashtalk": 1, "batch.mock": 2}
    presence.announce("a@b", presence.able(slots), presence.about(slots), gone=set(slots))
    (worker,) = presence.present()
    assert worker.slots == {"live.mock": 8, "batch.mock": 2}
    assert (worker.device, worker.title) == ("cpu", "CPU")
    assert 0 < worker.free_mb <= worker.memory_mb
    assert worker.models["mock"] == {"fps": 100.0, "first_frame_ms": 12.0, "problem": "", "down": False}
    assert worker.models["flashtalk"]["down"]


def test_a_model_that_went_down_takes_no_more_sessions(broker: "redis.Redis") -> None:
    slots = {"live.flashtalk": 1}
    presence.announce("a@b", slots)
    assert broker.hgetall(f"{presence.LIVE}live.flashtalk")
    figures.failed("flashtalk", "away", down=True)
    presence.announce("a@b", presence.able(slots), gone=set(slots) - set(presence.able(slots)))
    assert not broker.hgetall(f"{presence.LIVE}live.flashtalk")


def test_workers_that_render_nothing_say_nothing_of_devices() -> None:
    assert presence.about(["speech", "media"]) == {}
