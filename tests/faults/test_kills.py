"""kill -9 of any part while a batch is rendered: every clip succeeds, exactly once."""

import signal

import pytest
import redis

from tests.faults.batch import Batch

CLIPS = 20
FRAGMENTS = 2 * CLIPS  # at least: a short one to look at soon, and the rest

pytestmark = pytest.mark.faults


def forget(stack) -> None:
    """Empty the broker, as if it had kept nothing."""
    url = stack.environment()["REDIS_URL"]
    with redis.Redis.from_url(url) as broker:
        broker.flushall()


@pytest.mark.parametrize("part", ["render1", "general", "web", "valkey", "storage"])
def test_a_batch_survives_the_death_of(part, stack, receiver):
    batch = Batch(stack)
    batch.post(CLIPS, callback_url=receiver.url)
    for count in (4, FRAGMENTS // 2, FRAGMENTS - 6):
        batch.wait_fragments(count)
        before = batch.fragments_done()
        if part == "valkey":
            forget(stack)
        pid = stack.kill(part, signal.SIGKILL)
        stack.wait_restarted(part, pid)
        after = batch.fragments_done()
        assert {key: after[key] for key in before} == before, "a finished fragment was made again"
    batch.wait_ended()
    batch.check_whole()
    batch.check_told_once(receiver)
    batch.check_nothing_left()
    made = batch.fragments_done()
    again = sum(attempts - 1 for _, _, attempts in made.values())
    # Three deaths can each cost what was being drawn at that moment, by two workers, and no more.
    assert again <= 3 * 2, f"{again} fragments were started again"


def test_a_clip_whose_assembly_dies_is_assembled_once(stack, receiver):
    batch = Batch(stack)
    batch.post(4, callback_url=receiver.url)
    batch.wait_stage("assembling")
    stack.kill("general", signal.SIGKILL)
    batch.wait_ended()
    batch.check_whole()
    batch.check_told_once(receiver)
    batch.check_nothing_left()
