"""Capacity: the page follows from its data, and the arithmetic is the one that it tells."""

from dataclasses import replace
from pathlib import Path

import pytest

from project.bench.capacity import costs, model, page
from project.bench.capacity.costs import Costs, Source
from project.bench.capacity.model import (
    Assumptions,
    Engine,
    Habits,
    Machine,
    Need,
    breaking_point,
    variations,
)
from project.bench.commands.capacity import line, of_processes
from project.bench.counters import Reading
from project.bench.crowds import Span
from project.bench.machine import Hardware
from project.bench.results import Result

HABITS = Habits(speaking=0.5, session_minutes=10, recorded=0.5, clip_minutes_an_hour=6, reconnects=1)
MACHINE = Machine(cores=10, use=0.5, memory_gb=10, gbit=1, udp_ports=1000)
BROKER = Engine("broker", "cpu.valkey", 1, "cores", "one thread", "cells")
DATABASE = Engine("database", "database.rows_written", 1000, "1/s", "a disk", "another one")
LINKS = Engine("connections", "database.connections", 100, "", "processes", "a pool")
STORAGE = Engine("storage", "storage.operations", 1000, "1/s", "a disk", "another one")
ASSUMED = Assumptions((1000,), HABITS, MACHINE, (BROKER, DATABASE, LINKS, STORAGE), (50,))
SPENT = {
    "idle": {"cpu.web": 0.01, "cpu.valkey": 0.0001, "database.rows_written": 0.5, "sent.bits": 1e5},
    "speaking": {"cpu.web": 0.03, "cpu.live": 0.1, "cpu.valkey": 0.0003, "sent.bits": 3e5, "memory.web": 2},
    "opened": {"cpu.web": 0.6, "database.rows_written": 6},
    "recorded": {"cpu.general": 0.01},
    "joined": {"cpu.general": 0.6},
    "clip": {"cpu.render": 6, "database.rows_written": 60},
    "hosting": {"cpu.valkey": 0.001, "memory.web": 100, "cpu.web": 9},
    "process": {"cpu.valkey": 0.0001, "cpu.live": 9},
    "deployment": {"cpu.valkey": 0.01},
}
COSTS = Costs(Source("2026-11-21", "abc", "a processor", 2, "PostgreSQL"), SPENT, 8, 16)
NEED = Need(1000, COSTS, ASSUMED)


def test_the_page_follows_from_the_data():
    told = page.text(costs.read(), model.read())
    assert page.FILE.read_text(encoding="utf-8") == told, "manage.py bench capacity --page writes it again"


def test_demand_is_the_sum_of_what_everybody_does():
    # half of 1000 idle and speaking, 1000/600 opened a second
    assert NEED.demand("cpu.web") == pytest.approx(500 * 0.01 + 500 * 0.03 + 1000 / 600 * 0.6)
    # half of them recorded, a minute of it each minute
    assert NEED.demand("cpu.general") == pytest.approx(1000 * 0.5 * (0.01 + 0.6 / 60))
    # six minutes of film an hour each
    assert NEED.demand("cpu.render") == pytest.approx(1000 * 6 / 3600 * 6)
    assert NEED.demand("database.rows_written") == pytest.approx(250 + 10 + 100)


def test_processes_cost_something_by_themselves():
    assert NEED.web_processes == 42  # 21 cores, half used
    assert NEED.processes == 42 + 100 + 20 + 20  # web, live, render, general
    alone = 42 * 0.001 + 182 * 0.0001 + 0.01
    assert NEED.demand("cpu.valkey") == pytest.approx(500 * 0.0001 + 500 * 0.0003 + alone)
    assert NEED.demand("memory.web") == pytest.approx(1000 * 2 + 42 * 100)
    assert NEED.demand("database.connections") == pytest.approx(182 * 0.5)


def test_machines_are_as_many_as_the_scarcest_of_their_limits_wants():
    assert NEED.machines("web") == 5  # 21 busy cores of 10, half used
    assert NEED.machines("live drawing") == 10
    few_ports = replace(ASSUMED, machine=replace(MACHINE, udp_ports=50))
    assert Need(1000, COSTS, few_ports).machines("web") == 20
    slow = replace(ASSUMED, machine=replace(MACHINE, gbit=0.01))
    assert Need(1000, COSTS, slow).machines("web") == 40
    assert NEED.all_machines == sum(NEED.machines(host) for host in model.HOSTS)


def test_what_fills_a_machine():
    limits = NEED.what_fills_a_web_machine()
    assert limits == {"processor": 238, "network": 2500, "memory": 825, "UDP ports of one address": 1000}


def test_the_fullest_engine_comes_first_and_what_nobody_measured_not_at_all():
    loads = NEED.loads()
    assert [load.engine.name for load in loads] == ["connections", "database", "broker"]
    assert loads[0].share == pytest.approx(0.91)
    found = breaking_point(NEED)
    assert found is not None
    assert (found[0], found[1].engine.name) == (1098, "connections")


def test_nothing_measured_breaks_nowhere():
    empty = Costs(COSTS.source, {"idle": {"cpu.web": 0.01}}, 0, 5)
    assert breaking_point(Need(1000, empty, ASSUMED)) is None
    assert "Not measured by that run: broker" in page.text(empty, ASSUMED)


def test_gpus_are_counted_by_pictures():
    assert NEED.gpus(50) == 500  # 12,500 pictures a second, 25 of each


def test_dearer_costs_need_more():
    assert Need(1000, COSTS.dearer(1.15), ASSUMED).demand("cpu.live") == pytest.approx(57.5)
    names = [name for name, _, _ in variations(ASSUMED, COSTS)]
    assert len(names) == len(set(names)) == 9


def test_what_one_session_takes_is_the_slope_between_two_numbers_of_them():
    def span(sessions: int, used: float) -> Span:
        spent = Reading(10.0, {"cpu.web": used, "valkey.commands": 10.0 * sessions}, 10.0)
        return Span(sessions, spent, 100.0 + sessions, (), 0, 0.9, 1e5 * sessions, 8)

    each, base = line(span(2, 1.2), span(12, 2.2))
    assert each == pytest.approx(
        {"cpu.web": 0.01, "valkey.commands": 1.0, "valkey.bytes": 0, "memory.web": 1, "sent.bits": 1e5}
    )
    assert base == pytest.approx(
        {"cpu.web": 0.1, "valkey.commands": 0, "valkey.bytes": 0, "memory.web": 100, "sent.bits": 0}
    )


def test_a_process_costs_what_more_of_them_add():
    few = Reading(0.0, {"valkey.commands": 60.0, "cpu.web": 1.0}, 10.0)
    many = Reading(0.0, {"valkey.commands": 120.0, "cpu.web": 1.0}, 10.0)
    assert of_processes(few, 8, many, 12) == pytest.approx({"valkey.commands": 1.5, "valkey.bytes": 0})


def test_costs_measured_elsewhere_fill_gaps_only():
    found = COSTS.with_added({"clip": {"cpu.speech": 0.8, "cpu.render": 99}})
    assert (found.of("clip", "cpu.speech"), found.of("clip", "cpu.render")) == (0.8, 6)


def result(**metrics: float) -> Result:
    made = Result(
        "capacity", "capacity", "2026-11-21T00:00:00", "abc", {}, Hardware("a processor", 2, 4096), "Linux"
    )
    for name, value in metrics.items():
        made.add(name, "", [value], state="steady", boundary="a to b", source="machine")
    return made


def test_costs_are_taken_from_a_result():
    made = result(database_connections=8, processes=9)
    for case, value in (("idle", 0.5), ("clip", 60)):
        made.add(
            "cost_database_rows_written",
            "",
            [value],
            state="steady",
            case=case,
            boundary="a",
            source="machine",
        )
    found = costs.taken(made)
    assert found.costs == {"idle": {"database.rows_written": 0.5}, "clip": {"database.rows_written": 60}}
    assert (found.connections, found.processes) == (8, 9)


def test_only_a_whole_result_of_capacity_is_taken():
    with pytest.raises(ValueError, match="processes is missing"):
        costs.taken(result(database_connections=8))
    with pytest.raises(ValueError, match="a result of live"):
        costs.taken(replace(result(), command="live"))


@pytest.mark.parametrize("wrong", [{"flying": {}}, {"idle": {"cpu.moon": 1.0}}])
def test_costs_of_nobody_are_refused(wrong: dict[str, dict[str, float]]):
    with pytest.raises(ValueError, match="costs"):
        replace(COSTS, costs=wrong)


def test_costs_can_be_written_and_read(tmp_path: Path):
    costs.write(COSTS, tmp_path / "capacity.json")
    assert costs.read(tmp_path / "capacity.json") == COSTS


def test_a_wrong_assumption_is_named(tmp_path: Path):
    wrong = tmp_path / "capacity.yaml"
    wrong.write_text(model.FILE.read_text(encoding="utf-8").replace("speaking: 0.4", "speaking: 4.0"))
    with pytest.raises(ValueError, match=r"capacity\.yaml: habits"):
        model.read(wrong)
