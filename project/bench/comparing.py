"""Whether one run is worse than another, figure by figure and by name, though machines differ.

A figure is not compared with what it was, but with what it would be on the machine, and in the hour,
of the newer run: what no machine changes (`Gate.fixed`) plus the rest, longer by as much as the
yardsticks took longer that it depends on. Both runs measured these themselves.

It is worse when its median is beyond that by more than the tolerance, and the two intervals in which
the true medians lie do not touch. Where they touch, nobody can say: "unclear", measure again. One or two
values in each run make no interval: between once and twice the tolerance they are "unclear" as well.

What happens in single turns moves no median. Of counts (`Gate.of`) the sum is judged, with the interval that
its chance leaves, or the largest value as it is.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from project.bench.baseline import Figure, Middle, Run
from project.bench.gates import Gate, Gates

Verdict = Literal["worse", "unclear", "same", "better", "missing", "new"]
UNSTEADY = 0.2  # of a yardstick: then something else used the machine
ANOTHER_MACHINE = 1.25
FEW = 2  # values, of which an interval says next to nothing


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure in two runs. `expected` is the older one, as it would be on the newer one's machine.

    `times` says how many times worse it became, of the part that is judged (below 1: better).
    """

    verdict: Verdict
    figure: Figure
    before: Middle | None = None
    expected: Middle | None = None
    times: float = 1.0
    gate: Gate | None = None

    @property
    def now(self) -> Middle | None:
        return None if self.verdict == "missing" else _judged_value(self.figure, self.gate)

    def __str__(self) -> str:
        words = {"max": " (largest)", "sum": f" (sum of {self.figure.middle.n})"}
        return f"{self.figure}{words.get(self.gate.of, '') if self.gate else ''}"

    @property
    def missed_goal(self) -> bool:
        if self.gate is None or self.gate.goal is None or self.now is None:
            return False
        median = abs(self.now.median) if self.gate.magnitude else self.now.median
        return median < self.gate.goal if self.figure.better == "more" else median > self.gate.goal


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that two runs of one measurement say about each other."""

    before: Run
    now: Run
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]

    def of(self, *verdicts: Verdict) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict in verdicts]


def compare(before: Run, now: Run, gates: Gates) -> Comparison:
    """Judge every figure that one of them has. Raises `ValueError` for runs of different measurements."""
    if before.key != now.key:
        raise ValueError(f"{' '.join(before.key)} cannot be compared with {' '.join(now.key)}")
    findings = sorted(_findings(before, now, gates), key=lambda one: (-_weight(one), str(one.figure)))
    return Comparison(before, now, tuple(findings), tuple(_remarks(before, now, gates)))


def _weight(finding: Finding) -> float:
    """Places the worst first."""
    return finding.times if math.isfinite(finding.times) else 1e9


def _findings(before: Run, now: Run, gates: Gates) -> Iterator[Finding]:
    older = {figure.key: figure for figure in before.figures}
    newer = {figure.key: figure for figure in now.figures}
    for key, figure in newer.items():
        gate = gates.of(now.command, figure.name, figure.case)
        if not _is_judged(figure, gate):
            continue
        if key in older:
            yield _judged(older[key], figure, gate, scale(before, now, gate))
        else:
            yield Finding("new", figure, gate=gate)
    for key, figure in older.items():
        gate = gates.of(before.command, figure.name, figure.case)
        if key not in newer and _is_judged(figure, gate):
            yield Finding("missing", figure, before=_judged_value(figure, gate), gate=gate)


def _is_judged(figure: Figure, gate: Gate) -> bool:
    """Neither more nor less of some figures is better; of those around 0 it is the distance that counts."""
    return bool(figure.better) or gate.magnitude


def scale(before: Run, now: Run, gate: Gate) -> Middle:
    """How many times longer the gate's yardsticks took in the newer run; 1 where one of them is not known."""
    low = median = high = 0.0
    for name, share in gate.yardsticks.items():
        old, new = before.calibration.get(name), now.calibration.get(name)
        if old is None or new is None:
            return Middle(1.0, 1.0, 1.0, 0)
        low += share * new.low / old.high
        median += share * new.median / old.median
        high += share * new.high / old.low
    return Middle(median, low, high, 1) if gate.yardsticks else Middle(1.0, 1.0, 1.0, 0)


def _judged(before: Figure, now: Figure, gate: Gate, factor: Middle) -> Finding:
    told, new = _judged_value(before, gate), _judged_value(now, gate)
    # A run of fewer turns has fewer of everything that is counted.
    old = _summed(before.total, before.middle.n, now.middle.n) if gate.of == "sum" else told
    if gate.magnitude:
        old, new = _magnitude(old), _magnitude(new)
    expected = _expected(old, gate, factor, more=now.better == "more")
    times = _times(new.median, expected.median, gate, more=now.better == "more")
    apart = new.high < expected.low or new.low > expected.high
    beyond = abs(new.median - expected.median) > gate.least
    verdict: Verdict = "same"
    # One or two values each lie apart by chance, nobody knows by how much: it takes twice as much to be sure.
    sure = apart and (max(old.n, new.n) > FEW or times > 1 + 2 * gate.tolerance)
    if beyond and times > 1 + gate.tolerance:
        verdict = "worse" if sure else "unclear"
    elif beyond and apart and times < 1 / (1 + gate.tolerance):
        verdict = "better"
    return Finding(verdict, now, told, expected, times, gate)


def _judged_value(figure: Figure, gate: Gate | None) -> Middle:
    """What the gate looks at; one number without a width where it is the largest."""
    n = figure.middle.n
    if gate is None or gate.of == "median":
        return figure.middle
    if gate.of == "max":
        return Middle(figure.most, figure.most, figure.most, n)
    return _summed(figure.total, n, n)


def _summed(count: float, turns: int, among: int) -> Middle:
    """How many there are among so many turns, and what chance makes of as many (Poisson, 95%)."""
    share, root = among / turns, math.sqrt(count + 3 / 8)
    low, high = max(0.0, root - 0.98) ** 2, (root + 0.98) ** 2
    return Middle(count * share, low * share, high * share, among)


def _expected(old: Middle, gate: Gate, factor: Middle, *, more: bool) -> Middle:
    if more:
        return Middle(old.median / factor.median, old.low / factor.high, old.high / factor.low, old.n)

    def longer(value: float, times: float) -> float:
        return gate.fixed + max(0.0, value - gate.fixed) * times

    return Middle(
        longer(old.median, factor.median), longer(old.low, factor.low), longer(old.high, factor.high), old.n
    )


def _times(now: float, expected: float, gate: Gate, *, more: bool) -> float:
    """How many times worse; infinite where nothing was expected and something came."""
    worse, than = (expected, now) if more else (now - gate.fixed, expected - gate.fixed)
    if than <= 0:
        return 1.0 if worse <= than else math.inf
    return max(0.0, worse / than)


def _magnitude(middle: Middle) -> Middle:
    """Of a figure that may lie on either side of the 0 where it should be."""
    ends = sorted((abs(middle.low), abs(middle.high)))
    low = 0.0 if middle.low < 0 < middle.high else ends[0]
    return Middle(abs(middle.median), low, ends[1], middle.n)


# --- What else has to be said -------------------------------------------------------------------


def _remarks(before: Run, now: Run, gates: Gates) -> Iterator[str]:
    if before.hardware.cpu != now.hardware.cpu or before.hardware.cores != now.hardware.cores:
        yield f"Other machines: {before.hardware.name} before, {now.hardware.name} now."
    if before.config != now.config:
        yield "They were configured differently, so that some figures may not be the same thing."
    missing = sorted(
        {name for gate in gates.gates for name in gate.yardsticks}
        - (set(before.calibration) & set(now.calibration))
    )
    if missing:
        yield f"Without {', '.join(missing)} in both runs, what depends on it is compared as it is."
    for when, run in (("older", before), ("newer", now)):
        yield from _unsteady(when, run)
    for name in sorted(set(before.calibration) & set(now.calibration)):
        times = now.calibration[name].median / before.calibration[name].median
        if max(times, 1 / times) > ANOTHER_MACHINE:
            yield f"{name} took {times:.2f} times what it took before."


def _unsteady(when: str, run: Run) -> Iterator[str]:
    for name, middle in run.calibration.items():
        if (middle.high - middle.low) / middle.median > UNSTEADY:
            span = f"{middle.low:.3g} to {middle.high:.3g}"
            yield f"{name} varied from {span} in the {when} run: the machine was busy."


# --- As text --------------------------------------------------------------------------------------

HEADINGS: tuple[tuple[Verdict, str], ...] = (
    ("worse", "Worse"),
    ("unclear", "Perhaps worse: the values vary too much to say; measure again"),
    ("missing", "Not measured any more"),
    ("better", "Better"),
    ("new", "Not in the older run"),
)


def told(comparisons: Sequence[Comparison]) -> str:
    """Markdown: what became worse, unclear, missing, better and new, by name; and a sum of it."""
    lines: list[str] = []
    for comparison in comparisons:
        lines += [f"## {comparison.now.command} {comparison.now.name}", ""]
        lines += [f"{_which(comparison.before)} against {_which(comparison.now)}.", ""]
        lines += [*(f"- {remark}" for remark in comparison.remarks), *([""] if comparison.remarks else [])]
        for verdict, heading in HEADINGS:
            if found := comparison.of(verdict):
                lines += [f"### {heading}", "", *_table(found), ""]
        if missed := [one for one in comparison.findings if one.missed_goal]:
            lines += ["### Goals that are not reached on this machine", "", *_goals(missed), ""]
        lines += [_sum(comparison), ""]
    return "\n".join(lines)


def _which(run: Run) -> str:
    several = f", {run.results} results" if run.results > 1 else ""
    return f"{run.commit[:12]} of {run.created[:10]}{several} ({run.hardware.name})"


def _table(findings: Sequence[Finding]) -> Iterator[str]:
    yield "| Figure | Unit | Before | Expected here | Now | Times worse |"
    yield "|---|---|---|---|---|---|"
    for one in findings:
        cells = [str(one), one.figure.unit, _span(one.before), _span(one.expected), _span(one.now)]
        times = f"{one.times:.2f}" if one.expected else ""
        yield f"| {' | '.join(cells)} | {times} |"


def _goals(findings: Sequence[Finding]) -> Iterator[str]:
    yield "| Figure | Unit | Goal | Now |"
    yield "|---|---|---|---|"
    for one in findings:
        goal = "" if one.gate is None or one.gate.goal is None else f"{one.gate.goal:g}"
        yield f"| {one} | {one.figure.unit} | {goal} | {_span(one.now)} |"


def _span(middle: Middle | None) -> str:
    if middle is None:
        return ""
    width = f" ({middle.low:.4g} to {middle.high:.4g})" if middle.high > middle.low else ""
    return f"{middle.median:.4g}{width}"


def _sum(comparison: Comparison) -> str:
    counts = ((verdict, len(comparison.of(verdict))) for verdict in get_args(Verdict))
    return ", ".join(f"{count} {verdict}" for verdict, count in counts) + "."
