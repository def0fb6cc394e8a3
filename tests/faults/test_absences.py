"""Parts that are away or frozen for a while: work waits, goes on, and says why where it cannot."""

import os
import signal
import time

import pytest

from tests.faults.batch import Batch, ready_avatar

AWAY_SECONDS = 30.0

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("part", ["storage", "valkey"])
def test_work_waits_while_a_part_is_away_and_then_goes_on(part, stack, receiver):
    batch = Batch(stack)
    batch.post(6, callback_url=receiver.url)
    batch.wait_fragments(2)
    stack.kill(part, signal.SIGSTOP)
    try:
        time.sleep(AWAY_SECONDS)
    finally:
        stack.kill(part, signal.SIGCONT)
    batch.wait_ended()
    batch.check_whole()
    batch.check_told_once(receiver)
    batch.check_nothing_left()


def test_a_clip_is_accepted_while_the_broker_is_away(stack):
    avatar = ready_avatar(stack)
    stack.kill("valkey", signal.SIGSTOP)
    try:
        with stack.client as client:
            answer = client.post("/api/v1/clips", json={"avatar": avatar, "script": "Here I am."})
        assert answer.status_code == 202
    finally:
        stack.kill("valkey", signal.SIGCONT)
    batch = Batch(stack, [answer.json()["id"]])
    batch.wait_ended()
    batch.check_whole()


def test_a_dead_speech_sidecar_costs_time_and_no_clip(stack, receiver):
    batch = Batch(stack)
    batch.post(6, callback_url=receiver.url)
    batch.wait_stage("speech")
    pid = stack.kill("speech", signal.SIGKILL)
    stack.wait_restarted("speech", pid)
    batch.wait_ended()
    batch.check_whole()
    batch.check_told_once(receiver)


def test_a_voice_that_went_away_is_a_failure_with_its_code(stack):
    avatar = ready_avatar(stack)
    stack.kill("general", signal.SIGSTOP)
    try:
        with stack.client as client:
            clip = client.post("/api/v1/clips", json={"avatar": avatar, "script": "Nobody says this."}).json()
        change = (
            f"from generation.models import Clip; Clip.objects.filter(pk='{clip['id']}').update(voice='gone')"
        )
        stack.manage("shell", "-c", change)
    finally:
        stack.kill("general", signal.SIGCONT)
    Batch(stack, [clip["id"]]).wait_ended()
    with stack.client as client:
        ended = client.get(f"/api/v1/clips/{clip['id']}").json()
    assert (ended["status"], ended["failure"]["code"]) == ("failed", "voice_not_found")


def test_a_supervisor_that_dies_leaves_no_process_and_the_work_goes_on_after_a_new_start(stack, receiver):
    batch = Batch(stack)
    batch.post(6, callback_url=receiver.url)
    batch.wait_fragments(2)
    marked = set(stack.everything())
    assert len(marked) >= 7
    os.kill(stack.supervisor_pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while stack.everything() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert stack.everything() == []
    stack.start()
    batch.wait_ended()
    batch.check_whole()
    batch.check_told_once(receiver)
