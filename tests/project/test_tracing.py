"""Spans, as a collector gets them."""

import asyncio
import logging
import subprocess
import sys
import time

import pytest

from project import carrying, context, tracing
from tests.support.otlp import collector, traced


@pytest.fixture(autouse=True)
def nothing_known():
    with context.only():
        yield


def test_without_an_address_nothing_is_kept_nor_imported():
    code = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django; django.setup()
from project import carrying, tracing
carrying.begin_process()
with tracing.span("x", n=1) as span:
    span.set(m=2)
assert tracing.current() is tracing.begin("y") is tracing.NOTHING and tracing.trace_id() == ""
assert carrying.headers() == {}, carrying.headers()
# redis loads the part that measures by itself, where it is installed.
ours = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "project.otel")
loaded = [name for name in sys.modules if name.startswith(ours)]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=240)


def test_spans_arrive_with_their_ids_and_facts():
    with traced() as kept, context.about(session="ses_1", turn=2), tracing.span("outer", answer=42):
        with tracing.span("inner") as inner:
            inner.set(worker="w", nothing=None)
        inner.end()
    outer, inner = kept.one("outer"), kept.one("inner")
    assert (inner.trace, inner.parent, outer.parent) == (outer.trace, outer.id, "")
    assert outer.facts == {"session": "ses_1", "turn": 2, "answer": 42}
    assert inner.facts["worker"] == "w"
    assert outer.resource["service.name"] == "tests"
    assert outer.resource["service.instance.id"] == "tests:1"
    assert kept.headers[0]["x-key"] == "secret"


def test_a_plan_holds_together_what_knows_nothing_of_each_other():
    with traced() as kept:
        with tracing.span("early", plan=tracing.clip("clip_1")):
            pass
        begun = time.time() - 60
        root = tracing.root("clip", tracing.clip("clip_1"), at=begun)
        root.past("stage", begun + 1, begun + 3, piece=1)
        root.end(begun + 50)
        with tracing.span("late", plan=tracing.clip("clip_1")), tracing.span("below"):
            pass
        with tracing.span("other", plan=tracing.clip("clip_2")):
            pass
    root, early, late, stage = (kept.one(name) for name in ("clip", "early", "late", "stage"))
    assert {root.trace} == {early.trace, late.trace, stage.trace, kept.one("below").trace}
    assert (root.parent, early.parent, late.parent, stage.parent) == ("", root.id, root.id, root.id)
    assert kept.one("below").parent == late.id
    assert kept.one("other").trace != root.trace
    assert root.ended - root.begun == pytest.approx(50, abs=0.01)
    assert (stage.begun - root.begun, stage.ended - stage.begun) == pytest.approx((1, 2), abs=0.01)


def test_what_is_raised_leaves_its_code_and_no_words():
    class Refused(Exception):
        code = "model_busy"

    with traced() as kept:
        for error in (
            ValueError("zebrafinch"),
            Refused("zebrafinch"),
            asyncio.CancelledError(),
            KeyError("zebrafinch"),
        ):
            with pytest.raises(type(error)), tracing.span(type(error).__name__, ordinary=(KeyError,)):
                raise error
    assert [kept.one(name).code for name in ("ValueError", "Refused", "CancelledError", "KeyError")] == [
        "ValueError", "model_busy", "", "",
    ]  # fmt: skip
    assert kept.one("CancelledError").facts["cut"] is True
    assert b"zebrafinch" not in kept.raw


def test_the_sampled_share_is_the_same_everywhere():
    with traced(ratio=0.5) as kept:
        for number in range(200):
            with tracing.span("part", plan=tracing.clip(f"clip_{number}"), number=number):
                pass
            tracing.root("clip", tracing.clip(f"clip_{number}"), number=number).end()
    parts = {span.facts["number"] for span in kept.named("part")}
    assert parts == {span.facts["number"] for span in kept.named("clip")}
    assert 60 < len(parts) < 140


def test_messages_take_along_what_is_known():
    with traced() as kept, context.about(session="ses_1", task="clips.speak"):
        with tracing.span("asks"):
            sent = carrying.headers()
        with tracing.following(sent["traceparent"]), tracing.span("works"):
            pass
        with tracing.following("nonsense"), tracing.span("alone"):
            pass
    assert sent["parley"] == {"session": "ses_1"}
    assert (kept.one("works").trace, kept.one("works").parent) == (
        kept.one("asks").trace,
        kept.one("asks").id,
    )
    assert kept.one("alone").parent == ""


@pytest.mark.parametrize("how", ["away", "hanging"])
def test_a_collector_that_does_not_answer_holds_up_nothing(how, caplog):
    with collector() as kept:
        kept.away = how == "away"
        if how == "hanging":
            kept.hanging.set()
        tracing.start(kept.url, service="tests", process="1", ratio=1.0, headers={})
        begun = time.monotonic()
        for number in range(20_000):
            with tracing.span("x", number=number):
                pass
        worked = time.monotonic() - begun
        with caplog.at_level(logging.DEBUG):
            begun = time.monotonic()
            tracing.stop()
            stopped = time.monotonic() - begun
        assert kept.asked
    # Ten times what it takes; waiting for one answer alone would take longer.
    assert worked < 30
    assert stopped < 4


def test_an_address_where_nobody_listens_is_told_seldom(caplog):
    tracing.start("http://127.0.0.1:1", service="tests", process="1", ratio=1.0, headers={})
    try:
        for _ in range(3):
            with tracing.span("x"):
                pass
            time.sleep(2.2)
    finally:
        tracing.stop()
    told = [record for record in caplog.records if record.name.startswith("opentelemetry")]
    assert len(told) <= 2, [record.getMessage() for record in told]
