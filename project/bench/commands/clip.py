"""Clips: how fast they are made, cold, warm and steady, and where the time goes."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass

from project.bench import config


@dataclass(frozen=True, slots=True)
class ClipWishes:
    """How many clips are made one after the other once everything is loaded, and at once."""

    warm: int = 3
    steady: int = 5
    parallel: tuple[int, ...] = (4,)
    script: str = ""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--clips", type=int, help="clips of each state, instead of the file's numbers")


def run(options: Namespace) -> int:
    config.read(options.config).section("clip", ClipWishes)
    return 0
