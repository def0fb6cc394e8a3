"""What a part is: a command, what must be ready before it, and how to know that it is ready."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from project.embedded.probes import Probe


@dataclass(frozen=True)
class Part:
    """One process of the stack.

    Without a `probe` it is a step that has to end well; with one it has to stay. `before` runs ahead
    of every start, `after` once it was stopped for good; `repair` after several starts in a row failed,
    and says what it did.
    """

    name: str
    command: list[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    needs: tuple[str, ...] = ()
    probe: Probe | None = None
    start_seconds: float = 180.0  # a bound for what hangs; a busy machine takes its time
    stop_seconds: float = 5.0
    nice: int = 0
    pass_fds: tuple[int, ...] = ()
    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None
    repair: Callable[[], str | None] | None = None


def levels(parts: list[Part]) -> list[list[Part]]:
    """Group parts so that each group needs only earlier ones; needs outside the list are met elsewhere."""
    names = {part.name for part in parts}
    done: set[str] = set()
    waiting, groups = list(parts), []
    while waiting:
        ready = [part for part in waiting if all(n in done or n not in names for n in part.needs)]
        if not ready:
            raise ValueError(f"Parts that wait for each other: {[part.name for part in waiting]}")
        groups.append(ready)
        done |= {part.name for part in ready}
        waiting = [part for part in waiting if part not in ready]
    return groups
