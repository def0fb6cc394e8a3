"""Makes one report of several results, or writes the report of one again."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from project.bench import merging, writers
from project.bench.errors import BenchError
from project.bench.results import Result


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("results", nargs="+", type=Path, help="folders of results, or their result.json")
    parser.add_argument("--name", default="", help="what the joined result is called")


def run(options: Namespace) -> int:
    """Exit status 1 where one of the results missed what had to be so."""
    if options.out is None:
        raise BenchError("Say with --out where the report shall stand")
    files = [one / "result.json" if one.is_dir() else one for one in options.results]
    result = merging.merged([Result.load(file) for file in files], options.name)
    writers.write(result, options.out)
    return 0 if result.passed else 1
