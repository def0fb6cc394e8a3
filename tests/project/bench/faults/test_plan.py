"""A plan is drawn from its seed, and a file with a mistake is refused."""

from dataclasses import replace

import pytest

from project.bench import config, strict
from project.bench.faults import plan as plans
from project.bench.faults.plan import Plan

TOLD = {
    "seed": 3,
    "clips": {
        "count": 40,
        "words": [2, 9],
        "voices": ["en-joe", "en-kumo"],
        "canceled": 0.5,
        "repeated": 0.5,
    },
    "failures": {
        "count": 12,
        "together": 0.3,
        "kinds": [
            {"part": "render", "how": "kill", "weight": 3},
            {"part": "storage", "how": "stop", "seconds": 4},
            {"part": "valkey", "how": "forget"},
        ],
    },
}


def read(**changes):
    return strict.read(Plan, {**TOLD, **changes})


def test_the_same_seed_draws_the_same_run():
    assert plans.orders(read()) == plans.orders(read())
    assert plans.failures(read()) == plans.failures(read())


def test_another_seed_draws_another_run():
    assert plans.orders(read()) != plans.orders(read(seed=4))
    assert plans.failures(read()) != plans.failures(read(seed=4))


def test_clips_differ_in_voice_and_length_and_some_are_canceled_or_repeated():
    drawn = plans.orders(read())
    assert len(drawn) == 40
    assert {order.voice for order in drawn} == {"en-joe", "en-kumo"}
    assert len({len(order.script.split()) for order in drawn}) > 3
    assert 0 < sum(order.cancel_after is not None for order in drawn) < 40
    assert 0 < sum(order.repeats > 0 for order in drawn) < 40


def test_a_share_of_the_clips_is_of_test_cards_and_the_others_are_as_they_were():
    without, some = plans.orders(read()), plans.orders(read(clips={**TOLD["clips"], "cards": 0.25}))
    assert sum(order.card for order in some) == 10
    assert [replace(order, card=False) for order in some] == without


def test_every_kind_of_failure_happens_in_the_order_of_the_work():
    drawn = plans.failures(read())
    assert len(drawn) == 12
    assert {(each.kind.part, each.kind.how) for each in drawn} == {
        ("render", "kill"),
        ("storage", "stop"),
        ("valkey", "forget"),
    }
    assert [each.at for each in drawn] == sorted(each.at for each in drawn)
    assert drawn[-1].at < 1
    assert not drawn[-1].with_next


@pytest.mark.parametrize("seed", range(20))
def test_nothing_dies_twice_at_the_same_moment(seed):
    failures = {**TOLD["failures"], "together": 0.9}
    drawn = plans.failures(read(seed=seed, failures=failures))
    parts: list[str] = []
    for each in drawn:
        parts.append(each.kind.part)
        assert len(parts) == len(set(parts))
        parts = parts if each.with_next else []
    assert any(each.with_next for each in drawn)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ({"part": "kitchen", "how": "kill"}, "no part 'kitchen'"),
        ({"part": "web", "how": "burn"}, "burn"),
        ({"part": "web", "how": "forget"}, "only valkey"),
        ({"part": "web", "how": "stop"}, "seconds belong to stop"),
        ({"part": "web", "how": "kill", "seconds": 3}, "seconds belong to stop"),
        ({"part": "web", "how": "kill", "weight": 0}, "weight"),
    ],
)
def test_a_failure_that_cannot_happen_is_refused(kind, wrong):
    with pytest.raises(ValueError, match=wrong):
        read(failures={"count": 1, "kinds": [kind]})


def test_the_stub_of_speech_cannot_die_as_the_sidecar_does():
    with pytest.raises(ValueError, match="no part speech"):
        read(speech="stub", failures={"count": 1, "kinds": [{"part": "speech", "how": "kill"}]})


@pytest.mark.parametrize(("name", "clips", "failures"), [("faults", 200, 40), ("faults-short", 20, 6)])
def test_the_files_that_come_with_it_can_be_read(name, clips, failures):
    plan = config.read(config.path(name)).section("faults", Plan)
    assert len(plans.orders(plan)) == clips
    assert len(plans.failures(plan)) == failures
