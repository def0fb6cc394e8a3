"""The door to the queues: names that exist, messages after commits, a broker that may be away."""

import logging

import pytest
import redis
from celery import current_app
from django.db import transaction
from kombu import pools

from project.celery import app, queues
from tests.support.valkey import valkey_server
from workers import dispatch, presence, profiles


@pytest.fixture(scope="module")
def valkey():
    with valkey_server() as url:
        yield url


@pytest.fixture
def broker(valkey, settings, monkeypatch):
    """A real broker, empty at first, behind the real Celery application."""
    settings.CELERY_BROKER_URL = settings.REDIS_URL = valkey
    redis.Redis.from_url(valkey).flushall()
    monkeypatch.setattr(app.conf, "broker_url", valkey)
    monkeypatch.setattr(app.conf, "broker_write_url", valkey)
    _forget_connections()
    yield valkey
    _forget_connections()


def _forget_connections() -> None:
    pools.reset()
    app._pool = None
    app.amqp._producer_pool = None


def test_every_name_is_a_registered_task() -> None:
    app.loader.import_default_modules()
    assert set(dispatch.TASKS) <= set(current_app.tasks)


def test_every_periodic_task_is_registered_and_has_a_queue() -> None:
    app.loader.import_default_modules()
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in current_app.tasks
        assert entry["options"]["queue"] in queues()


def test_every_model_that_can_be_rendered_here_has_its_queue() -> None:
    for model in profiles.model_ids():
        assert profiles.load_profile(model).queue in queues()


@pytest.mark.django_db(transaction=True)
def test_a_message_carries_ids_and_leaves_after_the_commit(broker) -> None:
    with transaction.atomic():
        dispatch.render_fragment("clip_1", 7, "batch.mock")
        assert dispatch.depth("batch.mock") == 0
    assert dispatch.waiting("batch.mock") == {(dispatch.RENDER_FRAGMENT, "clip_1", "7")}
    assert dispatch.depth("batch.mock") == 1
    assert dispatch.waiting("speech") == set()


@pytest.mark.django_db(transaction=True)
def test_nothing_leaves_when_the_transaction_fails(broker) -> None:
    def send_and_fail() -> None:
        with transaction.atomic():
            dispatch.speak("clip_1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        send_and_fail()
    assert dispatch.depth("speech") == 0


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_away_is_no_error_and_is_said_once(caplog) -> None:
    with caplog.at_level(logging.WARNING, "workers.dispatch"):
        dispatch.speak("clip_1")
        dispatch.assemble("clip_1")
    assert len([r for r in caplog.records if r.name == "workers.dispatch"]) <= 1
    with pytest.raises(redis.RedisError):
        dispatch.waiting("speech")


def test_workers_are_known_by_what_they_say(broker) -> None:
    assert presence.slots() == {}
    presence.announce("render1@x", {"batch.mock": 1, "batch.viseme": 1})
    presence.announce("render2@x", {"batch.mock": 2})
    assert presence.slots() == {"batch.mock": 3, "batch.viseme": 1}
    assert {worker.name for worker in presence.present()} == {"render1@x", "render2@x"}
