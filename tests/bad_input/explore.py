"""Search for an input that breaks a rule, shrink it, go on. The same seed tries the same inputs."""

import time
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
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
    until = None if seconds is None else time.monotonic() + seconds
    number, left = first_seed, examples
    while left > 0 if until is None else time.monotonic() < until:
        _batch(inputs, rule, found, number, min(BATCH, left) if until is None else BATCH, until)
        number, left = number + 1, left - BATCH


def _batch(
    inputs: SearchStrategy[T],
    rule: Callable[[T], None],
    found: Callable[[T, str], None],
    number: int,
    examples: int,
    until: float | None,
) -> None:
    broken: list[tuple[T, str]] = []

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(inputs)
    def search(value: T) -> None:
        if until is not None and time.monotonic() > until and not broken:
            return
        try:
            rule(value)
        except Broken as error:
            broken.append((value, str(error)))
            raise

    try:
        search()
    except Broken as error:
        # Shrinking ends with the smallest input that still shows this.
        value = next(value for value, what in reversed(broken) if what == str(error))
        found(value, str(error))
    except Exception as error:  # noqa: BLE001 - a server that does not always break alike is a finding too
        if not broken:
            raise
        found(broken[-1][0], f"{broken[-1][1]} (not always: {type(error).__name__})")
