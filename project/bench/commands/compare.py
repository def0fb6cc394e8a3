"""Say by name what became worse by more than 15%, on this machine or another.

    manage.py bench compare OLD NEW                     two results
    manage.py bench compare --baseline RESULT...        results against the committed baseline
    manage.py bench compare --write-baseline RESULT...  make these results the baseline

A result is a result.json or the folder that holds one. Exit status: 0, or 1 when a figure is worse,
or was measured before and is not any more.
"""

import argparse
from pathlib import Path

from project.bench import baseline, comparing, gates
from project.bench.baseline import Baseline, Run
from project.bench.comparing import Comparison, Verdict
from project.bench.results import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT", help="result.json, or its folder")
    parser.add_argument(
        "--baseline", action="store_true", help="compare with the baseline, also where there are two results"
    )
    parser.add_argument(
        "--write-baseline",
        action="store_true",
        help="keep the results as the baseline; several of one measurement become one, with their spread",
    )
    parser.add_argument("--baseline-file", type=Path, default=baseline.FILE, help="another baseline")
    parser.add_argument(
        "--strict", action="store_true", help="fail also where the values vary too much to say"
    )
    parser.add_argument("--gates", type=Path, default=gates.FILE, help="how figures are judged")
    parser.add_argument(
        "--allow-missing", action="store_true", help="a figure may be missing that was measured before"
    )


def run(options: argparse.Namespace) -> int:
    """Raises `ValueError` that says which file is wrong."""
    results = [_load(path) for path in options.results]
    if options.write_baseline:
        return _write(options.baseline_file, results)
    pairs = _pairs(options, results)
    judging = gates.read(options.gates)
    comparisons = [comparing.compare(before, now, judging) for before, now in pairs]
    text = comparing.told(comparisons)
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "compare.md").write_text(text, encoding="utf-8")
    return status(comparisons, allow_missing=options.allow_missing, strict=options.strict)


def status(comparisons: list[Comparison], *, allow_missing: bool = False, strict: bool = False) -> int:
    """1 when something became worse, or is not measured any more; if strict, also when nobody can say."""
    bad: list[Verdict] = ["worse"]
    bad += [] if allow_missing else ["missing"]
    bad += ["unclear"] if strict else []
    return int(any(each.of(*bad) for each in comparisons))


def _load(path: Path) -> Result:
    return Result.load(path / "result.json" if path.is_dir() else path)


def _write(path: Path, results: list[Result]) -> int:
    known = baseline.read(path) if path.is_file() else Baseline(())
    written = known.with_runs(baseline.gathered(results))
    baseline.write(written, path)
    for one in written.runs:
        print(f"{one.command} {one.name}: {len(one.figures)} figures of {one.results} results, {one.created}")
    return 0


def _pairs(options: argparse.Namespace, results: list[Result]) -> list[tuple[Run, Run]]:
    runs = baseline.gathered(results)
    if not options.baseline and len(results) == 2:
        before, now = (Run.of([result]) for result in results)
        return [(before, now)]
    known = {one.key: one for one in baseline.read(options.baseline_file).runs}
    unknown = [" ".join(one.key) for one in runs if one.key not in known]
    if unknown:
        there = ", ".join(" ".join(key) for key in known) or "none"
        raise ValueError(f"The baseline has no run of {', '.join(unknown)}; it has: {there}")
    return [(known[one.key], one) for one in runs]
