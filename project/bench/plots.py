"""Pictures of a result: the range of every latency, turns as waterfalls, and lines over time or load."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from project.bench.results import Metric, Result, Series, Turn
from project.bench.texts import file_name, shown

WIDTH = 9.0  # inches
DPI = 110
TURNS = 4  # as many waterfalls as one looks at
SIZES = (2_000.0, 20_000.0, float("inf"))  # ms: what shares an axis
COLOURS = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
GREY = "#666666"
STATES = {"cold": "#4c78a8", "warm": "#f2a33a", "steady": "#3f9b5f"}
MARKERS = "osD^vP*X"
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
        made.append(_save(waterfalls(chosen), folder, "waterfall", "Where the time goes"))
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
    """One below the other, over the same time, so that they can be compared."""
    rows = [max(1, len(_rows(turn))) for turn in turns]
    figure = Figure(figsize=(WIDTH, 0.9 * len(turns) + 0.27 * sum(rows)), layout="constrained")
    names = dict.fromkeys(stage.name for turn in turns for stage in turn.stages)
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    every = figure.subplots(len(turns), 1, sharex=True, squeeze=False, height_ratios=rows)
    largest = max(map(length, turns), default=1.0)
    for axes, turn in zip(every[:, 0], turns, strict=True):
        _waterfall(axes, turn, colours, largest)
    _time_axis(every[-1, 0], "ms since the turn began", largest)
    return figure


def _rows(turn: Turn) -> list[str]:
    return list(dict.fromkeys(stage.name for stage in turn.stages))


def _waterfall(axes: Axes, turn: Turn, colours: dict[str, object], largest: float) -> None:
    """A row for each stage; one that comes several times (each sentence) has several bars."""
    rows = _rows(turn)
    for stage in turn.stages:
        row, wide = rows.index(stage.name), max(stage.to_ms - stage.from_ms, largest / 400)
        axes.barh(row, wide, left=stage.from_ms, height=0.62, color=colours[stage.name], edgecolor="white")
    for row, name in enumerate(rows):
        last = max(stage.to_ms for stage in turn.stages if stage.name == name)
        axes.text(last + largest / 120, row, shown(last), va="center", fontsize=7, color=GREY)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.invert_yaxis()
    also = ", ".join(part for part in (turn.model, turn.state) if part)
    axes.set_title(f"{turn.label} ({also})", fontsize=9, loc="left")
    _time_axis(axes, "", largest)


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
