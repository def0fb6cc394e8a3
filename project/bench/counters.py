"""What the parts of a stack have done so far, read from outside.

    counters = Counters(service)
    before = counters.read()
    ...
    spent = before.until(counters.read())
    print(spent["cpu.web"], spent.rate("valkey.commands"))

Everything only grows. What cannot be read (another machine, SQLite, no metrics) is not there.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx
import psycopg
import redis
from prometheus_client.parser import text_string_to_metric_families

from project.bench.resources import snapshot
from project.bench.target import Target

# A connection of PostgreSQL that has nothing to do tells within ten seconds what it did.
LATE_SECONDS = 12.0
DATABASE = """
SELECT xact_commit + xact_rollback, tup_inserted + tup_updated + tup_deleted, tup_returned,
       numbackends, pg_current_wal_lsn() - '0/0'::pg_lsn
FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at a moment (monotonic seconds), or what they grew by in a span of `seconds`."""

    at: float
    values: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def until(self, later: "Reading") -> "Reading":
        """What was done between two readings. A part that began anew counts from zero."""
        grown = {
            name: value - before if value >= (before := self.values.get(name, 0.0)) else value
            for name, value in later.values.items()
        }
        return Reading(later.at, grown, later.at - self.at)

    def __getitem__(self, name: str) -> float:
        return self.values.get(name, 0.0)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def rate(self, name: str) -> float:
        """Of a span, per second."""
        return self[name] / self.seconds


class Counters:
    """Reads a service; close it, or use it in a `with` block."""

    def __init__(self, service: Target) -> None:
        self._service = service
        environment = service.stack.environment() if service.stack else {}
        url = environment.get("REDIS_URL", "")
        self._broker: redis.Redis | None = redis.Redis.from_url(url) if url else None
        self._database = environment.get("DATABASE_URL", "")
        self._http = httpx.Client(timeout=10, verify=False)  # noqa: S501 - certificates of our own making

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        if self._broker is not None:
            self._broker.close()

    def read(self) -> Reading:
        values: dict[str, float] = defaultdict(float)
        for part, use in snapshot(self._service.pids(), memory=False).items():
            values[f"cpu.{part}"] += use.cpu_s
        for source in (self._of_broker(), self._of_database(), self._of_storage(), self._of_metrics()):
            for name, value in source:
                values[name] += value
        return Reading(time.monotonic(), dict(values))

    @property
    def on_postgres(self) -> bool:
        return urlsplit(self._database).scheme in ("postgres", "postgresql")

    @property
    def late(self) -> float:
        """For so many seconds what was done before a span may still come to be counted in it."""
        return LATE_SECONDS if self.on_postgres else 0.0

    def connections(self) -> int:
        """Connections to the database now, without our own; 0 with SQLite."""
        if not self.on_postgres:
            return 0
        return int(self._row()[3]) - 1

    def _of_broker(self) -> Iterator[tuple[str, float]]:
        if self._broker is None:
            return
        told = self._broker.info("everything")
        yield "valkey.commands", told["total_commands_processed"]
        yield "valkey.bytes_in", told["total_net_input_bytes"]
        yield "valkey.bytes_out", told["total_net_output_bytes"]
        for name, value in told.items():
            if name.startswith("cmdstat_"):
                yield f"valkey.{name.removeprefix('cmdstat_')}", value["calls"]

    def _of_database(self) -> Iterator[tuple[str, float]]:
        if self.on_postgres:
            transactions, written, read, _, log = self._row()
            yield "database.transactions", float(transactions)
            yield "database.rows_written", float(written)
            yield "database.rows_read", float(read)
            yield "database.log_bytes", float(log)

    def _row(self) -> tuple[int, ...]:
        with psycopg.connect(self._database) as connection:
            # What other connections did is told late: an idle one tells it after a second.
            row = connection.execute(DATABASE).fetchone()
        assert row is not None
        return row

    def _of_storage(self) -> Iterator[tuple[str, float]]:
        """Bytes that the volumes of SeaweedFS hold; they only grow until they are cleaned up."""
        home = self._service.home
        if home is not None and (home / "seaweed").is_dir():
            with suppress(FileNotFoundError):
                yield "storage.bytes", sum(path.stat().st_size for path in _volumes(home / "seaweed"))

    def _of_metrics(self) -> Iterator[tuple[str, float]]:
        token = self._service.metrics_token
        if not token:
            return
        headers = {"Authorization": f"Bearer {token}"}
        with suppress(httpx.HTTPError, ValueError):
            page = self._http.get(f"{self._service.base_url}/metrics", headers=headers).raise_for_status()
            for family in text_string_to_metric_families(page.text):
                for sample in family.samples:
                    if sample.name == "parley_storage_seconds_count":
                        yield f"storage.{sample.labels['operation']}", sample.value
                        yield "storage.operations", sample.value


def _volumes(folder: Path) -> list[Path]:
    return list(folder.rglob("*.dat"))
