"""What the periodic tasks ask while there is nothing to do: they run for as long as the service does."""

from typing import Any

import pytest

from workers import dispatch
from workers.tasks import maintenance, sessions, webhooks

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


@pytest.fixture(autouse=True)
def no_queue_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def unexpected(queue: str) -> Any:
        raise AssertionError(f"{queue} was read, and nothing can be lost in it")

    monkeypatch.setattr(dispatch, "waiting", unexpected)
    monkeypatch.setattr(dispatch, "depth", unexpected)


def test_a_pass_without_work_asks_once_for_each_kind(django_assert_num_queries: Any) -> None:
    # Clips, avatars, their further models, recordings and documents.
    with django_assert_num_queries(5):
        maintenance.reconcile()


def test_without_sessions_one_question_ends_the_reaping(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        sessions.reap()


def test_without_deliveries_one_question_is_asked(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        webhooks.deliver_due()
