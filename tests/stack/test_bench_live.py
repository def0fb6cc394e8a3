"""`manage.py bench live|load|soak` against a running stack: everything is measured, and written down."""

import pytest

from project.bench.browser import program
from project.bench.results import Result
from tests.stack.test_bench import bench

TALKS = """
name: talks
subjects: [{model: viseme, avatar: lena, voice: en-joe}]
live:
  {joins: 1, turns: 1, inputs: [text, audio], interrupts: 1, aiortc_joins: 1, chromium_joins: 1,
   drift_seconds: 3}
load: {steps: [1, 2], seconds: 12, settle_seconds: 2, speaking: 0.9, clips: 0, go_on_after_miss: true}
soak: {minutes: 0.5, sessions: 1, speaking: 0.9, clips: 0, every_seconds: 5}
"""

pytestmark = pytest.mark.usefixtures("avatar")


@pytest.fixture
def measured(stack, tmp_path):
    (tmp_path / "talks.yaml").write_text(TALKS)

    def measure(command: str, status: int = 0) -> Result:
        out = tmp_path / command
        bench(
            command,
            *("--config", str(tmp_path / "talks.yaml"), "--out", str(out), "--attach", str(stack.home)),
            status=status,
        )
        return Result.load(out / "result.json")

    return measure


def test_conversations_are_measured_by_every_receiver(measured) -> None:
    result = measured("live")
    known = {(metric.name, metric.state, metric.case) for metric in result.metrics if metric.values}
    for name in ("ttfa_ms", "ttfv_ms", "llm_first_token_ms", "tts_first_pcm_ms", "avatar_first_frame_ms"):
        assert (name, "warm", "text") in known
    for name in ("turn_total_ms", "render_fps", "queue_depth", "playback_fps"):
        assert (name, "steady", "audio") in known
    assert {("interrupt_ms", "steady", ""), ("first_turn_total_ms", "warm", "text")} <= known
    assert ("webrtc_first_frame_ms", "warm", "aiortc") in known
    assert ("webrtc_first_frame_ms", "warm", "light client") in known
    assert (("webrtc_first_frame_ms", "warm", "chromium") in known) == (program() is not None)
    late = result.find("late_packets", model="viseme")
    assert late is not None
    assert late.maximum == 0
    assert {"llm", "tts", "render", "playout"} <= {
        stage.name for turn in result.turns for stage in turn.stages
    }


def test_a_ramp_tells_what_each_number_of_sessions_costs(measured) -> None:
    result = measured("load")
    cases = {metric.case for metric in result.metrics if metric.name == "cpu_percent_session"}
    assert cases == {"1 session", "2 sessions"}
    heard = result.find("ttfa_ms", model="viseme", case="2 sessions")
    assert heard is not None
    assert heard.n >= 1
    assert result.find("sessions_within_targets", model="viseme") is not None
    assert {"CPU over sessions", "Queue depth over time"} <= {line.plot for line in result.series}


def test_a_soak_reads_everything_that_may_grow(measured) -> None:
    result = measured("soak", status=None)
    for name in ("memory_mb", "descriptors", "asyncio_tasks", "broker_mb", "broker_keys", "database_rows"):
        metric = result.find(name, model="viseme")
        assert metric is not None
        assert metric.n >= 2, metric.missing
    checks = {check.name: check for check in result.checks}
    assert checks["nobody had to complain"].passed, checks["nobody had to complain"].evidence
    assert checks["lips and voice stay together"].passed, checks["lips and voice stay together"].evidence
