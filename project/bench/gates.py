"""How each figure is judged when two runs are compared; read from `configs/gates.yaml`."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import yaml

from project.bench import strict
from project.bench.calibration import BOUNDARIES

FILE = Path(__file__).parents[2] / "configs" / "gates.yaml"
TOLERANCE = 0.15


@dataclass(frozen=True, slots=True)
class Gate:
    """The first gate whose patterns (`*` stands for anything) fit a figure judges it.

    `yardsticks` are the measurements of `project.bench.calibration` that this figure grows with, with
    their shares, which make 1; none: it is the same on every machine. `fixed` is the part of it, in its
    own unit, that no machine changes, such as the delay of a stub; what is above it is judged.
    `magnitude`: it may lie on either side of 0, where it should be, and its distance is judged.
    A difference of `least` or less is never told: it is below what the figure can resolve.
    `goal` is the figure promised on any machine that is fit for the service.
    `of`: of most figures the median is judged. Of what should never happen it is the largest value (`max`),
    since one bad turn of twenty moves no median; of what is counted the number in all turns together (`sum`).
    """

    figure: str
    case: str = "*"
    command: str = "*"
    yardsticks: dict[str, float] = field(default_factory=dict)
    fixed: float = 0.0
    tolerance: float = TOLERANCE
    least: float = 0.0
    magnitude: bool = False
    goal: float | None = None
    of: Literal["median", "max", "sum"] = "median"

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.yardsticks) - set(BOUNDARIES)):
            raise ValueError(f"no calibration measures {unknown[0]}")
        if self.yardsticks and abs(sum(self.yardsticks.values()) - 1) > 1e-6:
            raise ValueError("the shares of the yardsticks must make 1")
        if self.tolerance <= 0 or self.least < 0 or self.fixed < 0:
            raise ValueError("tolerance must be above 0; least and fixed must not be below it")
        if self.of != "median" and (self.yardsticks or self.fixed or self.magnitude):
            raise ValueError(f"of: {self.of} is for counts, which no machine scales")

    def fits(self, command: str, figure: str, case: str) -> bool:
        pairs = ((command, self.command), (figure, self.figure), (case, self.case))
        return all(fnmatchcase(told, pattern) for told, pattern in pairs)


@dataclass(frozen=True, slots=True)
class Gates:
    """All of them, in order. The last one must fit everything."""

    gates: tuple[Gate, ...]

    def __post_init__(self) -> None:
        if not self.gates or not self.gates[-1].fits("?", "?", "?"):
            raise ValueError("the last gate must fit every figure")

    def of(self, command: str, figure: str, case: str) -> Gate:
        return next(gate for gate in self.gates if gate.fits(command, figure, case))


def read(path: Path = FILE) -> Gates:
    """Raises `ValueError` that names the file and the field which is wrong."""
    try:
        return strict.read(Gates, yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
