"""What is done periodically is really a task, on a queue that somebody serves."""

import pytest

from project.celery import app, queues
from sessions.models import Session
from tests.support.clips import Broker, ready_avatar
from tests.support.objects import MemoryStore
from tests.support.sessions import create, turn_back
from workers import dispatch
from workers.tasks import sessions


@pytest.mark.parametrize("name", sorted(app.conf.beat_schedule))
def test_every_entry_names_a_task_and_a_queue(name) -> None:
    app.loader.import_default_modules()
    entry = app.conf.beat_schedule[name]
    assert entry["task"] in app.tasks
    assert entry["options"]["queue"] in queues()
    assert entry["options"]["expires"] >= entry["schedule"] / 10


def test_a_session_that_nobody_joined_is_ended_by_the_task(
    transactional_db, monkeypatch, django_user_model
) -> None:
    memory = MemoryStore()
    monkeypatch.setattr("storage.s3._store", lambda endpoint, pid: memory)
    monkeypatch.setattr(dispatch, "_publish", Broker().publish)
    owner = django_user_model.objects.create_user("alice@example.com")
    session = create(owner, ready_avatar(memory)).session
    turn_back(session, 400, "token_expires_at")
    sessions.reap()
    assert Session.objects.get().end_reason == "connect_timeout"
    sessions.expire()
    assert Session.objects.filter(pk=session.pk).exists(), "its transcript is kept for a while"


def test_workers_may_take_from_the_queues_of_every_model_and_from_no_unknown_one() -> None:
    assert {"batch.wav2lip", "live.wav2lip", "batch.flashtalk", "live.viseme"} <= set(queues())
    assert set(queues()) <= set(app.amqp.queues)
    assert not app.conf.task_create_missing_queues
