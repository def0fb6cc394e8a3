"""Whatever somebody waits for is taken first."""

from workers.gpu.queues import LiveFirst, ordered


def test_own_requests_come_before_live_ones_and_those_before_clips() -> None:
    queues = ["batch.a", "live.b", "worker.me@x", "live.a", "batch.b"]
    assert ordered(queues) == ["worker.me@x", "live.b", "live.a", "batch.a", "batch.b"]


def test_models_take_turns_and_clips_never_come_before_sessions() -> None:
    cycle = LiveFirst()
    cycle.update(["worker.me@x", "live.a", "live.b", "batch.a", "batch.b"])
    assert cycle.consume(5) == ["worker.me@x", "live.a", "live.b", "batch.a", "batch.b"]
    cycle.rotate("batch.a")
    cycle.rotate("live.a")
    assert cycle.consume(5) == ["worker.me@x", "live.b", "live.a", "batch.b", "batch.a"]
    cycle.rotate("worker.me@x")
    assert cycle.consume(5)[0] == "worker.me@x"


def test_turns_are_kept_when_the_queues_change() -> None:
    cycle = LiveFirst()
    cycle.update(["live.a", "live.b"])
    cycle.rotate("live.a")
    cycle.update(["live.a", "live.b", "live.c"])
    assert cycle.consume(3) == ["live.b", "live.a", "live.c"]
    cycle.update(["live.c"])
    assert cycle.consume(1) == ["live.c"]
    cycle.rotate("live.gone")
    assert cycle.consume(2) == ["live.c"]
