"""Pictures of a result: the range of every latency, turns as waterfalls, and lines over time or load."""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from project.bench.results import Metric, Result, Series, Stage, Turn
from project.bench.texts import file_name, shown

WIDTH = 9.0  # inches
DPI = 110
TURNS = 4  # as many waterfalls as one looks at
SIZES = (2_000.0, 20_000.0, float("inf"))  # ms: what shares an axis
COLOURS = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
GREY = "#666666"
STATES = {"cold": "#4c78a8", "warm": "#f2a33a", "steady": "#3f9b5f"}
MARKERS = "osD^vP*X"
PIECE = re.compile(r" \d+$")
HEARD = "playout"
AFTER_HEARD = 4.0  # as long as it took until something was heard, this many times, is drawn
DASHES = ("-", "--", ":", "-.")  # lines that lie on each other can be told apart


def draw(result: Result, folder: Path) -> list[tuple[str, str]]:
    """Write every picture that the result has something for; file name and what it shows."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    latencies = [metric for metric in result.metrics if metric.unit == "ms" and metric.values]
    if latencies:
        made.append(
            _save(ranges(latencies), folder, "latencies", "Latencies: median, and from minimum to maximum")
        )
    if result.turns:
        chosen = typical(result.turns)
        made.append(
            _save(
                waterfalls(chosen),
                folder,
                "waterfall",
                "Where the time goes (a number: the piece of the answer)",
            )
        )
    for plot in dict.fromkeys(series.plot for series in result.series):
        lines = [series for series in result.series if series.plot == plot and series.points]
        if lines:
            made.append(_save(curves(plot, lines), folder, file_name(plot), plot))
    return made


def _save(figure: Figure, folder: Path, name: str, told: str) -> tuple[str, str]:
    figure.savefig(folder / f"{name}.png", dpi=DPI, metadata={"Software": None})
    return f"{name}.png", told


def ranges(metrics: Sequence[Metric]) -> Figure:
    """A row for each figure: its median, its 95th percentile as a tick, minimum to maximum as a line.

    What takes seconds has an axis of its own: beside it one would not see what takes milliseconds.
    """
    order = list(dict.fromkeys(metric.name for metric in metrics))
    groups: list[list[Metric]] = [[] for _ in SIZES]
    for metric in sorted(metrics, key=lambda one: (order.index(one.name), one.model, one.case)):
        groups[next(place for place, size in enumerate(SIZES) if metric.maximum <= size)].append(metric)
    groups = [group for group in groups if group]
    heights = [len(group) + 1.5 for group in groups]
    figure = Figure(figsize=(WIDTH, 0.6 * len(groups) + 0.3 * sum(heights)), layout="constrained")
    every = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)
    for axes, group in zip(every[:, 0], groups, strict=True):
        _ranges(axes, group)
    states = [state for state in STATES if any(metric.state == state for metric in metrics)]
    for state in states:
        every[0, 0].plot([], [], marker="o", color=STATES[state], label=state)
    figure.legend(loc="outside upper right", ncols=len(states), fontsize=8)
    return figure


def _ranges(axes: Axes, metrics: Sequence[Metric]) -> None:
    for row, metric in enumerate(metrics):
        colour = STATES[metric.state]
        axes.plot([metric.minimum, metric.maximum], [row, row], color=colour, linewidth=3, alpha=0.45)
        axes.plot([metric.p95], [row], marker="|", markersize=11, color=colour)
        axes.plot([metric.median], [row], marker="o", color=colour)
        axes.text(metric.maximum, row, f"   {shown(metric.median)}", va="center", fontsize=8, color=GREY)
    axes.set_yticks(range(len(metrics)), [_label(metric) for metric in metrics], fontsize=8)
    axes.set_ylim(len(metrics) - 0.3, -0.7)
    least = min(0.0, *(metric.minimum for metric in metrics))
    largest = max(metric.maximum for metric in metrics)
    _time_axis(axes, "ms (dot and figure: median, tick: 95%, line: minimum to maximum)", largest, least)


def _label(metric: Metric) -> str:
    also = ", ".join(part for part in (metric.model, metric.case) if part)
    return f"{metric.name} ({also})" if also else metric.name


def _time_axis(axes: Axes, told: str, largest: float, least: float = 0.0) -> None:
    span = (largest - least) or 1.0
    axes.set_xlim(least and least - 0.05 * span, largest + 0.12 * span)
    axes.set_xlabel(told, fontsize=9)
    axes.grid(axis="x", alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def typical(turns: Sequence[Turn]) -> list[Turn]:
    """Of each model and state the turn of middle length; of the cold ones the first."""
    groups: dict[tuple[str, str], list[Turn]] = {}
    for turn in turns:
        if turn.stages:
            groups.setdefault((turn.model, turn.state), []).append(turn)
    chosen = [
        group[0] if state == "cold" else sorted(group, key=length)[(len(group) - 1) // 2]
        for (_, state), group in groups.items()
    ]
    return chosen[:TURNS]


def length(turn: Turn) -> float:
    return max((stage.to_ms for stage in turn.stages), default=0.0)


def waterfalls(turns: Sequence[Turn]) -> Figure:
    """One below the other, over the same time, so that they can be compared.

    An answer is heard for many seconds, before which everything that matters would be a hair's breadth:
    what lasts longer is cut off, and says until when it goes on.
    """
    rows = [_rows(turn) for turn in turns]
    heights = [max(1, len(one)) for one in rows]
    figure = Figure(figsize=(WIDTH, 0.9 * len(turns) + 0.3 * sum(heights)), layout="constrained")
    names = dict.fromkeys(name for one in rows for name in one)
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    every = figure.subplots(len(turns), 1, sharex=True, squeeze=False, height_ratios=heights)
    limit = max((min(length(turn), _shown(turn)) for turn in turns), default=1.0) or 1.0
    for axes, turn, one in zip(every[:, 0], turns, rows, strict=True):
        also = ", ".join(part for part in (turn.model, turn.state) if part and part not in turn.label)
        axes.set_title(f"{turn.label} ({also})" if also else turn.label, fontsize=9, loc="left")
        _waterfall(axes, one, colours, limit)
        _time_axis(axes, "", limit)
    every[-1, 0].set_xlabel("ms since it began", fontsize=9)
    return figure


def _kind(stage: Stage) -> str:
    """What a stage is one of: "tts" for "tts 2"."""
    return PIECE.sub("", stage.name)


def _rows(turn: Turn) -> dict[str, list[Stage]]:
    """The stages by their kind; where its pieces are known, without the bar that covers them all."""
    rows: dict[str, list[Stage]] = {}
    for stage in turn.stages:
        rows.setdefault(_kind(stage), []).append(stage)
    pieces = {name: [one for one in stages if one.name != name] for name, stages in rows.items()}
    return {name: pieces[name] or stages for name, stages in rows.items()}


def _shown(turn: Turn) -> float:
    """How much of a turn is drawn: until well after the answer begins to be heard, where that is known."""
    heard = [stage.from_ms for stage in turn.stages if _kind(stage) == HEARD]
    return AFTER_HEARD * min(heard) if heard else math.inf


def _waterfall(axes: Axes, rows: dict[str, list[Stage]], colours: dict[str, object], limit: float) -> None:
    for row, (name, stages) in enumerate(rows.items()):
        for stage in stages:
            ends = min(stage.to_ms, limit)
            wide = max(ends - stage.from_ms, limit / 400)
            if stage.from_ms >= limit:
                continue
            axes.barh(
                row,
                wide,
                left=stage.from_ms,
                height=0.62,
                color=colours[name],
                edgecolor="white",
                linewidth=0.8,
            )
            if stage.name != name and wide > limit / 40:
                number = stage.name.removeprefix(name).strip()
                axes.text(
                    stage.from_ms + wide / 2, row, number, fontsize=7, color="white", ha="center", va="center"
                )
        last = max(stage.to_ms for stage in stages)
        told = shown(last) if last <= limit else f"\u2192 {shown(last)}"
        axes.text(min(last, limit) + limit / 120, row, told, va="center", fontsize=7, color=GREY)
    axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)


def curves(title: str, lines: Iterable[Series]) -> Figure:
    """Lines over the same axis; of different units, an axis each, one below the other."""
    lines = list(lines)
    units = list(dict.fromkeys(line.unit for line in lines))
    figure = Figure(figsize=(WIDTH, 0.6 + 2.7 * len(units)), layout="constrained")
    every = figure.subplots(len(units), 1, sharex=True, squeeze=False)
    for axes, unit in zip(every[:, 0], units, strict=True):
        for place, line in enumerate(line for line in lines if line.unit == unit):
            few = len(line.points) <= 40
            axes.plot(
                [x for x, _ in line.points],
                [y for _, y in line.points],
                color=COLOURS[place % len(COLOURS)],
                marker=MARKERS[place % len(MARKERS)] if few else None,
                markersize=4,
                linewidth=1.6,
                linestyle=DASHES[place % len(DASHES)],
                label=line.name,
            )
        axes.set_ylabel(unit, fontsize=9)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="best")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    every[0, 0].set_title(title, fontsize=10, loc="left")
    last = lines[0]
    every[-1, 0].set_xlabel(f"{last.x_name} ({last.x_unit})" if last.x_unit else last.x_name, fontsize=9)
    return figure
