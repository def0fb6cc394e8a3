"""`manage.py bench` measures a stack of its own, and a running one, through what customers use."""

import subprocess
import sys

import pytest

from project.bench.results import Result
from project.embedded.stack import ROOT

OWN = """
name: own
subjects: [{model: mock}]
stack: {render_workers: 1, live_workers: 0, web_processes: 1}
stub: {}
clip: {cold: 1, warm: 1, at_once: [2], script: A tiny film.}
"""
RUNNING = """
name: running
subjects: [{model: viseme, avatar: lena, voice: en-joe}]
clip: {warm: 1, at_once: [], script: A tiny film.}
"""


def bench(*arguments, env=None, status=0):
    """Run it; `status` is the exit status that it has to have, None for any of a run that was finished."""
    command = [sys.executable, "manage.py", "bench", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode in ((0, 1) if status is None else (status,)), done.stdout + done.stderr
    return done.stdout


def test_a_stack_of_its_own_is_started_measured_and_gone(tmp_path):
    (tmp_path / "own.yaml").write_text(OWN)
    out = tmp_path / "out"
    bench("clip", "--config", str(tmp_path / "own.yaml"), "--out", str(out))
    result = Result.load(out / "result.json")
    (subject,) = result.subjects
    assert (subject.model, subject.backend, subject.label, subject.fps) == ("mock", "local", "own", 25.0)
    names = {metric.name for metric in result.metrics if metric.values}
    assert {"startup_ms", "warmup_ms", "clip_total_ms", "rtf", "render_fps", "steady_chunk_ms"} <= names
    assert {"queue_depth", "fragments_per_s", "clip_cpu_minute", "memory_mb", "clip_playable_ms"} <= names
    assert {metric.state for metric in result.metrics} == {"cold", "warm", "steady"}
    assert result.find("memory_mb", model="mock").median > 100
    assert result.find("startup_ms", model="mock").median > 500
    assert [turn.state for turn in result.turns] == ["cold", "warm"]
    assert result.calibration
    assert "prove that orchestration works" in (out / "report.md").read_text()
    plots = {path.name for path in (out / "plots").iterdir()}
    assert {"latencies.png", "waterfall.png", "queue-depth-over-time.png"} <= plots
    assert (out / "own.tar.gz").stat().st_size > 10_000


@pytest.mark.usefixtures("avatar")
def test_a_running_service_is_measured_as_a_customer_and_nothing_secret_is_kept(stack, tmp_path):
    (tmp_path / "running.yaml").write_text(RUNNING)
    out = tmp_path / "out"
    bench("clip", "--config", str(tmp_path / "running.yaml"), "--out", str(out), "--attach", str(stack.home))
    result = Result.load(out / "result.json")
    assert result.find("clip_total_ms", state="warm", model="viseme").n == 1
    assert result.find("startup_ms", model="viseme").missing == "the service was already running"
    kept = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    for secret in (stack.api_key, *stack.secrets.values(), str(stack.home)):
        assert secret.encode() not in kept
