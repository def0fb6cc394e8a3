"""What a worker can serve, and why not the rest."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workers import profiles
from workers.adapters.avatar.models import ModelConfig, WeightFile
from workers.adapters.errors import AdapterError
from workers.gpu import figures, serving
from workers.gpu.host import RenderHost
from workers.gpu.serving import Keeper, Offer


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    figures.forget()
    yield
    figures.forget()


@pytest.fixture
def host(tmp_path: Path) -> RenderHost:
    return RenderHost(weights=tmp_path, memory_mb=1000)


@pytest.fixture
def config() -> ModelConfig:
    return profiles.config("mock")


def _weight(path: str, layout: str = "", *, required: bool = True) -> WeightFile:
    return WeightFile(path, None, "", "a licence", "a source", "a network", required=required, layout=layout)


class Renderer:
    """One that fails in the ways it is given, one after the other."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)

    def warm(self) -> None:
        if self.faults:
            raise self.faults.pop(0)


AWAY = AdapterError("Nobody answers.", provider="x", retryable=True, code="model_unreachable")
UNSAFE = AdapterError("It holds code.", provider="x", retryable=False, code="weights_unsafe")


def test_a_model_with_everything_is_served(config: ModelConfig, host: RenderHost) -> None:
    assert serving.offer(config, host) == Offer("mock", "local", config.memory_mb)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"missing": "Set FLASHTALK_URL."}, "Set FLASHTALK_URL."),
        ({"adapter": "unheard_of"}, "No adapter is called unheard_of."),
        ({"needs": ("json", "no_such_package.inner", "nor_this")},
         "Packages are missing: no_such_package.inner, nor_this."),
        ({"memory_mb": 1001}, "It needs 1001 MB, and there are 1000."),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(
    config: ModelConfig, host: RenderHost, changes: dict[str, Any], problem: str
) -> None:
    made = serving.offer(replace(config, **changes), host)
    assert (made.served, made.problem) == (False, problem)


def test_one_complete_set_of_weights_is_enough(config: ModelConfig, host: RenderHost, tmp_path: Path) -> None:
    weights = (
        _weight("face.pth"),
        _weight("extra.pth", required=False),
        _weight("v2/net.pth", "2"),
        _weight("v2/net.json", "2"),
        _weight("v1/net.bin", "1"),
    )
    config = replace(config, weights=weights)
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2/net.pth").touch()
    problem = serving.offer(config, host).problem
    assert problem == f"Missing in {tmp_path}: face.pth; v2/net.json (or another set)."
    (tmp_path / "face.pth").touch()
    (tmp_path / "v2/net.json").touch()
    assert serving.offer(config, host).served


def test_a_model_that_works_is_warm_and_one_without_a_trial_is_believed(host: RenderHost) -> None:
    made = Offer("mock", "local", 1)
    assert serving.warmed(made, lambda _: Renderer()) == made  # type: ignore[arg-type,return-value]
    assert serving.warmed(made, lambda _: SimpleNamespace()) == made


@pytest.mark.parametrize(
    ("fault", "served", "problem"),
    [
        (AWAY, True, "Nobody answers. (model_unreachable)"),
        (UNSAFE, False, "It holds code. (weights_unsafe)"),
        (TypeError("what\never"), False, "TypeError: what"),
    ],
)
def test_only_what_may_mend_itself_is_served_with_a_problem(
    fault: Exception, served: bool, problem: str
) -> None:
    made = serving.warmed(Offer("m", "local", 1), lambda _: Renderer(fault))  # type: ignore[arg-type,return-value]
    assert (made.served, made.problem) == (served, problem)


def test_what_is_not_served_is_not_tried(host: RenderHost) -> None:
    made = Offer("m", "local", 1, served=False, problem="no")
    assert serving.warmed(made, lambda _: pytest.fail("tried")) == made


def test_a_model_with_a_problem_takes_no_sessions_until_another_try_succeeds(host: RenderHost) -> None:
    renderer = Renderer(AWAY, AWAY)
    made = serving.warmed(Offer("m", "local", 1), lambda _: renderer)  # type: ignore[arg-type,return-value]
    serving.told(made)
    keeper = Keeper([made], lambda _: renderer, host=host, give_up=pytest.fail)  # type: ignore[arg-type,return-value]
    assert figures.figure("m").down
    assert keeper.look()
    assert figures.figure("m").down
    assert keeper.look()
    assert figures.figure("m") == figures.Figure()


def test_a_model_that_fails_once_while_drawing_stays_up_if_it_works_when_tried(host: RenderHost) -> None:
    keeper = Keeper([Offer("m", "local", 1)], lambda _: Renderer(), host=host, give_up=pytest.fail)  # type: ignore[arg-type,return-value]
    figures.failed("m", "a hiccup")
    assert not figures.figure("m").down
    keeper.look()
    assert not figures.figure("m").problem


def test_a_worker_whose_device_is_lost_gives_up(host: RenderHost) -> None:
    said: list[str] = []
    keeper = Keeper([], lambda _: pytest.fail("tried"), host=host, give_up=said.append, again_seconds=0.001)
    host.lost(RuntimeError("CUDA error: it is gone"))
    keeper.start()
    keeper._thread.join(10)
    assert said == ["RuntimeError: CUDA error: it is gone"]


def test_people_read_what_is_served_and_what_is_not() -> None:
    offers = [
        Offer("wav2lip", "local", 2048),
        Offer("flashtalk", "omnirt", 256, served=False, problem="Set OMNIRT_URL."),
        Offer("quicktalk", "omnirt", 256, problem="Nobody answers. (model_unreachable)"),
    ]
    assert serving.table(offers).splitlines() == [
        "model      backend  memory",
        "wav2lip    local    2048 MB  ready",
        "flashtalk  omnirt   256 MB   not served: Set OMNIRT_URL.",
        "quicktalk  omnirt   256 MB   ready, but not now: Nobody answers. (model_unreachable)",
    ]


def test_unknown_models_are_named_beside_the_known_ones() -> None:
    known = {"mock": profiles.config("mock"), "viseme": profiles.config("viseme")}
    assert [config.id for config in serving.chosen(known, ["viseme", "mock", "viseme"])] == ["viseme", "mock"]
    with pytest.raises(ValueError, match=r"no model typo, other\. There are: mock, viseme"):
        serving.chosen(known, ["typo", "mock", "other"])
