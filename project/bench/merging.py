"""Makes one result of several, such as the conversations and the clips of one evening."""

from collections.abc import Sequence
from dataclasses import replace

from project.bench.results import Metric, Result, Subject

CHANGED = "+"  # behind a commit: files differed from it


def merged(results: Sequence[Result], name: str = "") -> Result:
    """One result with the figures of all, in their order.

    A figure that was measured in several has all their values, where they mean the same; else each says
    which command it is of. Raises `ValueError` where they are of different machines or commits.
    """
    if not results:
        raise ValueError("there is nothing to join")
    first = results[0]
    for other in results[1:]:
        for what, here in _where(first).items():
            if (there := _where(other)[what]) != here:
                raise ValueError(
                    f"{first.command} and {other.command} differ in {what}: {here} and {there}; "
                    "compare them instead"
                )
    return replace(
        first,
        name=name or first.name,
        commit=max((one.commit for one in results), key=len),
        command=" + ".join(dict.fromkeys(one.command for one in results)),
        config=_config(results),
        subjects=_subjects(results),
        notes=list(dict.fromkeys(note for one in results for note in one.notes)),
        metrics=_metrics(results),
        calibration=_calibration(results),
        series=[series for one in results for series in one.series],
        turns=[turn for one in results for turn in one.turns],
        checks=[check for one in results for check in one.checks],
        timeline=[moment for one in results for moment in one.timeline],
        tables=[table for one in results for table in one.tables],
    )


def _where(result: Result) -> dict[str, object]:
    """What has to be the same of all."""
    return {
        "commit": result.commit.removesuffix(CHANGED),
        "hardware": result.hardware,
        "os": result.os,
    }


def _subjects(results: Sequence[Result]) -> list[Subject]:
    """Each model on each backend once, with everything that was asked of it."""
    kept: dict[tuple[str, str], Subject] = {}
    for one in (subject for result in results for subject in result.subjects):
        there = kept.setdefault((one.model, one.backend), one)
        asked = dict.fromkeys(part for part in (*there.input.split(" + "), one.input) if part)
        told = {
            name: getattr(there, name) or getattr(one, name) for name in ("technique", "chunk_ms", "weights")
        }
        kept[one.model, one.backend] = replace(there, input=" + ".join(asked), **told)
    return list(kept.values())


def _config(results: Sequence[Result]) -> dict[str, object]:
    told: dict[str, object] = {}
    for one in results:
        told |= one.config
    return told


def _calibration(results: Sequence[Result]) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {}
    for one in results:
        for name, values in one.calibration.items():
            taken.setdefault(name, []).extend(values)
    return taken


def _metrics(results: Sequence[Result]) -> list[Metric]:
    kept: dict[tuple[str, ...], Metric] = {}
    for result in results:
        for metric in result.metrics:
            there = kept.get(metric.key)
            if there is None:
                kept[metric.key] = metric
            elif _means(there) == _means(metric):
                values = there.values + metric.values
                kept[metric.key] = replace(there, values=values, missing="" if values else there.missing)
            else:
                case = ", ".join(part for part in (metric.case, result.command) if part)
                kept[*metric.key, result.command] = replace(metric, case=case)
    return list(kept.values())


def _means(metric: Metric) -> tuple[str, ...]:
    return metric.unit, metric.boundary, metric.source
