"""Whoever reads a report finds every figure of it explained."""

import pytest

from project.bench import clip_figures, live_figures, sheet
from project.bench.management.commands.bench import found
from project.embedded.stack import ROOT

PAGE = (ROOT / "docs" / "benchmarks" / "README.md").read_text(encoding="utf-8")
NAMES = {*clip_figures.KINDS, *live_figures.KINDS, *(name for _, name, *_ in sheet.FIGURES), *sheet.DETAIL}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_figure_is_explained(name):
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", sorted(found()))
def test_every_subcommand_is_named(name):
    assert f"`bench {name}`" in PAGE


def test_a_start_means_the_same_in_both_kinds_of_measurement():
    assert clip_figures.KINDS["startup_ms"].boundary == live_figures.KINDS["startup_ms"].boundary
