"""The page of figures: what is on it, and what it does while parts are away."""

import asyncio
import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from project.metrics import exporter, instruments, page, publishing, recent
from project.metrics.loop import Probe
from project.metrics.publishing import Running
from project.metrics.registry import registry


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(page, "SERVICE", [])
    page.forget()
    yield
    page.forget()


def names(text: bytes) -> set[str]:
    return {family.name for family in text_string_to_metric_families(text.decode())}


def gauge(name: str, value: float) -> Metric:
    made = GaugeMetricFamily(name, "Told by a test")
    made.add_metric([], value)
    return made


def test_every_instrument_says_its_unit_or_counts() -> None:
    for family in registry.collect():
        assert family.documentation[0].isupper()
        assert not family.documentation.endswith(".")
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


def test_what_cannot_be_asked_is_left_out_and_the_rest_is_told() -> None:
    def away() -> list[Metric]:
        raise ConnectionError("redis://:hunter2@host is away")

    page.SERVICE.extend([away, lambda: [gauge("parley_there", 1)]])
    told = page.render()
    assert {"parley_there", "process_cpu_seconds"} <= names(told)
    assert b"hunter2" not in told


def test_a_process_tells_how_many_files_it_has_open_and_may_have() -> None:
    told = {
        sample.name: sample.value
        for family in text_string_to_metric_families(page.render(service=False).decode())
        for sample in family.samples
    }
    assert 3 < told["process_open_fds"] < told["process_max_fds"]


def test_the_service_is_asked_once_for_several_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def source() -> list[Metric]:
        asked.append(1)
        return [gauge("parley_there", len(asked))]

    page.SERVICE.append(source)
    for _ in range(3):
        assert b"parley_there 1.0" in page.render()
    monkeypatch.setattr(page, "CACHE_SECONDS", 0.0)
    page.forget()
    page.render()
    assert b"parley_there 3.0" in page.render()


def test_without_its_folder_there_is_no_page_rather_than_half_of_one(
    server: int, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(**_: object) -> bytes:
        raise TimeoutError("held")

    monkeypatch.setattr(page, "render", held)
    assert ask(server)[0] == 503
    answer = client.get("/metrics", headers={"Authorization": "Bearer count-it-all"})
    assert answer.status_code == 503


def test_a_page_of_one_process_asks_nobody() -> None:
    page.SERVICE.append(lambda: pytest.fail("asked"))
    page.render(service=False)


def test_a_source_that_breaks_keeps_no_other_from_telling(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    def broken() -> None:
        raise ValueError("broken")

    monkeypatch.setattr(publishing, "SOURCES", [broken, lambda: told.append(1)])
    publishing.publish()
    assert told == [1]


def test_a_total_that_begins_anew_is_added_to_what_was() -> None:
    counter = instruments.live_stalls
    before = counter._value.get()
    running = Running(counter)
    for total in (3, 3, 5, 2):
        running.is_now(total)
    assert counter._value.get() - before == 7


async def test_a_loop_that_is_held_up_is_seen(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "SOURCES", [])
    settings.PROCESS_NAME = "held-up"
    probe = Probe()
    await asyncio.sleep(0)
    time.sleep(0.6)  # noqa: ASYNC251 - the very thing
    probe.say()
    lag = instruments.loop_lag.labels("held-up")
    assert 0.3 < (late := lag._value.get()) < 60
    probe.say()  # for another reader, at once
    assert lag._value.get() >= late
    monkeypatch.setattr(recent, "REMEMBERED_SECONDS", 0.0)
    await asyncio.sleep(0.01)  # what was late is called
    probe.say()
    probe.say()
    assert lag._value.get() < late
    assert instruments.loop_tasks.labels("held-up")._value.get() >= 1


@pytest.fixture
def server(settings: Any) -> Iterator[int]:
    settings.METRICS_TOKEN = "count-it-all"
    made = exporter.serve("127.0.0.1", 0)
    yield made.server_address[1]
    made.shutdown()
    made.server_close()


def ask(
    port: int, path: str = "/metrics", method: str = "GET", token: str = "count-it-all"
) -> tuple[int, bytes]:
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        caller.request(method, path, headers={"Authorization": f"Bearer {token}"})
        answer = caller.getresponse()
        return answer.status, answer.read()
    finally:
        caller.close()


def test_a_worker_serves_its_figures_to_whoever_has_the_token(server: int) -> None:
    status, told = ask(server)
    assert status == 200
    assert "process_cpu_seconds" in names(told)


@pytest.mark.parametrize(
    ("path", "method", "token", "status"),
    [
        ("/metrics", "GET", "wrong", 401),
        ("/metrics", "GET", "", 401),
        ("/", "GET", "count-it-all", 404),
        ("/metrics", "POST", "count-it-all", 501),
    ],
)
def test_it_serves_nothing_else(server: int, path: str, method: str, token: str, status: int) -> None:
    assert ask(server, path, method, token)[0] == status


def test_without_a_token_in_the_settings_nobody_gets_in(server: int, settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    assert ask(server, token="")[0] == 401


def test_whoever_is_silent_holds_up_nobody(server: int) -> None:
    silent = http.client.HTTPConnection("127.0.0.1", server, timeout=10)
    silent.connect()
    try:
        assert ask(server)[0] == 200
    finally:
        silent.close()


def test_a_port_that_is_taken_stops_no_work(
    server: int, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.METRICS_HOST, settings.METRICS_PORT = "127.0.0.1", server
    exporter.begin()
    assert f"METRICS_PORT={server}" in caplog.text


def test_publishing_begins_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    class Noted:
        def __init__(self, *, name: str, **_: object) -> None:
            begun.append(name)

        def start(self) -> None:
            """Nothing runs."""

    monkeypatch.setattr(publishing, "_started", threading.Event())
    monkeypatch.setattr(publishing.atexit, "register", lambda _: None)
    monkeypatch.setattr(publishing.threading, "Thread", Noted)
    publishing.start()
    publishing.start()
    assert begun == ["figures"]


def test_a_child_of_a_fork_publishes_for_itself_and_waits_for_nobody() -> None:
    code = """
import os, signal, threading, time
import django
django.setup()
from celery.signals import worker_process_init
import project.celery
from project.metrics import publishing
under_way, told = threading.Event(), []
def slow():
    under_way.set()
    told.append(os.getpid())
    time.sleep(0.3)
publishing.SOURCES.append(slow)
publishing.start()
under_way.wait()
child = os.fork()
if child == 0:
    signal.alarm(45)  # ends it whatever it waits for
    worker_process_init.send(sender=None)
    while os.getpid() not in told:
        time.sleep(0.01)
    publishing.publish()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "7\n", done.stderr


def test_a_reader_who_gets_nothing_is_one_line_in_the_log(
    server: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    def broken(*_: Any) -> None:
        raise ConnectionResetError("what a caller sent")

    monkeypatch.setattr(exporter._Handler, "_answer", broken)
    with caplog.at_level("INFO"), pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(server)
    deadline = time.monotonic() + 10
    while "ConnectionResetError" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "got nothing: ConnectionResetError" in caplog.text
    assert "what a caller sent" not in caplog.text + capfd.readouterr().err
