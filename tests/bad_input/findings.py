"""What a run found: each finding with the smallest input that shows it."""

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# One fault seldom shows in one way only; more of the same tell a reader nothing.
ALIKE = 3


@dataclass(frozen=True)
class Finding:
    """`part` is who found it, `where` the operation, message or file, `case` what shows it again (JSON)."""

    part: str
    where: str
    what: str
    case: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"[{self.part}] {self.where}: {self.what}"


class Findings:
    """Collects findings, and writes each into a folder where there is one. Threads may share it."""

    def __init__(self, folder: Path | None = None) -> None:
        self.all: list[Finding] = []
        self.tried: dict[str, int] = {}
        self._folder = folder
        self._lock = threading.Lock()

    def count(self, part: str, number: int = 1) -> None:
        """Note that so many inputs were tried."""
        with self._lock:
            self.tried[part] = self.tried.get(part, 0) + number

    def add(self, finding: Finding) -> None:
        with self._lock:
            alike = [one for one in self.all if (one.part, one.where) == (finding.part, finding.where)]
            if len(alike) >= ALIKE or finding.what in [one.what for one in alike]:
                return
            self.all.append(finding)
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                name = re.sub(r"[^a-z0-9]+", "-", f"{finding.part} {finding.where}".lower()).strip("-")[:80]
                path = self._folder / f"{len(self.all):03}-{name}.json"
                path.write_text(
                    json.dumps(asdict(finding), indent=2, ensure_ascii=False, default=repr) + "\n"
                )

    def told(self) -> str:
        """All of them, for a person."""
        tried = ", ".join(f"{number} {part}" for part, number in sorted(self.tried.items()))
        head = f"Tried {tried or 'nothing'}; {len(self.all)} finding(s)."
        return "\n".join([head, *(str(finding) for finding in self.all)])
