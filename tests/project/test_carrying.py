"""What messages to workers take along."""

import json

import pytest
from celery import current_app
from celery.app.task import Context
from celery.signals import before_task_publish, task_postrun, task_prerun

from project import context, tracing
from project.carrying import CARRIED
from tests.support.otlp import traced
from tests.support.valkey import valkey_server
from workers import dispatch


@pytest.fixture(autouse=True)
def nothing_known():
    with context.only():
        yield


class Task:
    name = "workers.tasks.clips.speak"

    def __init__(self, headers):
        self.request = Context(headers)


def taken(headers, work):
    """Do what a worker does with a message that has these headers."""
    task = Task(headers)
    task_prerun.send(sender=task, task_id="1", task=task, args=(), kwargs={})
    try:
        return work()
    finally:
        task_postrun.send(
            sender=task, task_id="1", task=task, args=(), kwargs={}, retval=None, state="SUCCESS"
        )


def known():
    return dict(context.ids())


def sent(**about):
    headers = {}
    with context.about(**about):
        before_task_publish.send(sender="x", headers=headers, body=(), exchange="", routing_key="")
    return headers


def test_a_worker_knows_what_the_sender_knew_until_the_task_is_over():
    headers = sent(request_id="r", clip="clip_1", fragment=3, task="clips.render_fragment")
    assert taken(headers, known) == {"request_id": "r", "clip": "clip_1", "task": "clips.speak"}
    assert known() == {}
    assert taken({}, known) == {"task": "clips.speak"}, "nothing is left of the task before"


def test_a_task_that_fails_leaves_nothing_either():
    with pytest.raises(ZeroDivisionError):
        taken(sent(session="ses_1"), lambda: 1 / 0)
    assert known() == {}


@pytest.mark.parametrize(
    "ids",
    [
        "text",
        ["a"],
        5,
        {"a b": "c", "x\ny": "z"},
        {"long": "x" * 5000},
        {"deep": {"a": 1}},
        {str(n): 1 for n in range(99)},
        {"message": "All is well", "level": "INFO", "ts": "never", "clip": "clip_1"},
        {"clip": "x" * 5000},
    ],
)
def test_whoever_can_write_to_the_broker_cannot_write_logs_at_will(ids):
    found = taken({"parley": ids, "traceparent": "nonsense"}, known)
    found.pop("task")
    assert set(found) <= set(CARRIED)
    assert all(len(str(value)) <= 128 for value in found.values())


def test_spans_of_a_worker_belong_to_the_one_that_asked():
    def work():
        with tracing.span("works"):
            return tracing.trace_id()

    with traced() as kept:
        with tracing.span("asks"):
            headers = sent(session="ses_1")
        trace = taken(headers, work)
        assert tracing.trace_id() == ""
    asks, works = kept.one("asks"), kept.one("works")
    assert (works.trace, works.parent) == (asks.trace, asks.id) == (trace, asks.id)
    assert works.facts["session"] == "ses_1"


def test_a_request_of_a_session_takes_them_along_as_well():
    with traced() as kept, context.about(session="ses_1", turn=4), tracing.span("render"):
        message = json.loads(dispatch.live_message("live.mock", "{}")[1])
    headers = message["headers"]
    assert headers["parley"] == {"session": "ses_1", "turn": 4}
    assert headers["traceparent"] == f"00-{kept.one('render').trace}-{kept.one('render').id}-03"


def test_what_celery_sends_holds_them():
    about = context.about(session="ses_1")
    with valkey_server() as url, about, current_app.connection_for_write(url) as connection:
        current_app.send_task("workers.tasks.x", queue="media", connection=connection)
        message = json.loads(connection.default_channel.client.lrange("celery:media", 0, -1)[0])
    assert message["headers"]["parley"] == {"session": "ses_1"}
