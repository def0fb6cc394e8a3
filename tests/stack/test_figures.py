"""One page tells of every process of a running stack, also of those that died."""

import signal
import time

import httpx

from project.bench.stack import EmbeddedStack
from tests.stack.live import figures


def wait_for(stack: EmbeddedStack, name: str, least: float, seconds: float = 30.0) -> dict[str, float]:
    """The page, once a figure is there: some are written every few seconds only."""
    until = time.monotonic() + seconds
    while (told := figures(stack, "web2")).get(name, 0.0) < least:
        assert time.monotonic() < until, sorted(told)
        time.sleep(0.3)
    return told


def test_a_clip_is_counted_by_everybody_who_had_a_part_in_it(stack: EmbeddedStack, avatar: str) -> None:
    drawn = 'parley_fragments_total{kind="batch",model="viseme",outcome="drawn"}'
    ended = 'parley_clip_seconds_count{outcome="succeeded"}'
    before = figures(stack)
    with stack.client as client:
        client.post("/api/v1/clips", json={"avatar": avatar, "script": "Good day."}).raise_for_status()
    told = wait_for(stack, ended, before.get(ended, 0.0) + 1, seconds=120)

    def grew(name: str) -> bool:
        return told[name] > before.get(name, 0.0)

    assert grew(drawn)
    assert grew('parley_clip_stage_seconds_count{outcome="succeeded",stage="rendering"}')
    assert grew('parley_task_seconds_count{outcome="success",task="workers.tasks.clips.speak"}')
    assert grew('parley_task_wait_seconds_count{task="workers.tasks.clips.render_fragment"}')
    assert grew('parley_storage_seconds_count{operation="put"}')
    assert grew('parley_http_requests_total{method="POST",route="api/v1/clips",status="202"}')
    assert grew('parley_provider_requests_total{kind="tts",provider="local"}')
    assert told['parley_workers{queue="batch.viseme"}'] == 1
    assert told['parley_queue_depth{queue="speech"}'] == 0


def test_every_process_tells_what_it_uses(stack: EmbeddedStack) -> None:
    parts = ("web1", "web2", "live1", "live2", "render1", "general", "avatars", "scheduler")
    told = wait_for(stack, f'process_resident_memory_bytes{{process="{parts[-1]}"}}', 1)
    for part in parts:
        assert told[f'process_resident_memory_bytes{{process="{part}"}}'] > 10_000_000
        assert told[f'process_cpu_seconds_total{{process="{part}"}}'] > 0
    assert 0 <= told['parley_event_loop_lag_seconds{process="web1"}'] < 60
    assert 'parley_event_loop_tasks{process="web1"}' in told


def test_what_a_killed_worker_counted_is_kept(stack: EmbeddedStack) -> None:
    name = 'parley_task_seconds_count{outcome="success",task="workers.tasks.maintenance.reconcile"}'
    before = wait_for(stack, name, 1)
    pid = stack.kill("general", signal.SIGKILL)
    stack.wait_restarted("general", pid)
    after = wait_for(stack, name, before[name] + 1)
    falling = [
        one for one, value in before.items() if one.endswith(("_total", "_count")) and after[one] < value
    ]
    assert falling == []
    # What it held went with it, and its successor stands there alone.
    assert wait_for(stack, 'process_threads{process="general"}', 1)['process_threads{process="general"}'] < 40


def test_local_speech_tells_of_itself(stack: EmbeddedStack) -> None:
    environment = stack.environment()
    key = {"Authorization": f"Bearer {environment['SPEECH_API_KEY']}"}
    page = httpx.get(f"{environment['SPEECH_URL']}/metrics", headers=key).raise_for_status().text
    assert "parley_speech_requests_total" in page
    assert "process_resident_memory_bytes" in page
