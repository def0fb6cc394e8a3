"""Search for an input that breaks a rule, shrink it, go on. The same seed tries the same inputs."""

import math
import sys
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import FlakyFailure
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")
# Of one batch; a longer search is several, each with a seed of its own.
BATCH = 200


class Broken(AssertionError):
    """A rule did not hold; the text says which."""


def explore(
    inputs: SearchStrategy[T],
    rule: Callable[[T], None],
    found: Callable[[T, str], None],
    *,
    first_seed: int,
    examples: int,
    seconds: float | None = None,
) -> None:
    """Call `rule` with `examples` inputs; where it raises `Broken`, tell `found` the smallest that does.

    With `seconds` it goes on until they are over, however many that are.
    """
    until = math.inf if seconds is None else time.monotonic() + seconds
    number, left = first_seed, examples if seconds is None else sys.maxsize
    while left > 0 and time.monotonic() < until:
        search = Search(rule, until)
        size = min(BATCH, left)
        broken = search.run(inputs, number, size)
        if broken is not None:
            found(*broken)
        number, left = number + 1, left - size


class Search(Generic[T]):
    """One search for an input that breaks `rule`; none is tried after `until`, but for shrinking."""

    def __init__(self, rule: Callable[[T], None], until: float) -> None:
        self._rule, self._until = rule, until
        self._broken: list[tuple[T, str]] = []

    def run(self, inputs: SearchStrategy[T], number: int, examples: int) -> tuple[T, str] | None:
        """Return the smallest input that broke the rule, and how; None where none did."""
        limits = settings(
            max_examples=examples,
            database=None,
            deadline=None,
            verbosity=Verbosity.quiet,
            print_blob=False,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        try:
            seed(number)(limits(given(inputs)(self._try)))()
        except (Broken, FlakyFailure) as error:
            if not self._broken:
                raise
            # Shrinking ends with the smallest input; one that broke only once is told as it was.
            same = [pair for pair in self._broken if pair[1] == str(error)]
            return (same or self._broken)[-1]
        return None

    def _try(self, value: T) -> None:
        if time.monotonic() > self._until and not self._broken:
            return
        try:
            self._rule(value)
        except Broken as error:
            self._broken.append((value, str(error)))
            raise
