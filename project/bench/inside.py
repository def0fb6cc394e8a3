"""What a stack on this machine holds: tasks that wait, the broker's memory and keys, rows of the database.

Read only, and from outside: with the addresses that its processes were started with. Of a service on
another machine nothing is known.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import httpx
import psycopg
import redis
from prometheus_client.parser import text_string_to_metric_families
from psycopg import sql

from project.bench.target import Target

Reading = Callable[[], float]
TASKS = ("parley_event_loop_tasks", "parley_live_tasks")
MOST_KEYS = 100_000


def environment(target: Target) -> dict[str, str]:
    """What the parts of a stack were started with; empty where they are elsewhere."""
    for pid in target.pids().values():
        with suppress(OSError):
            told = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8", errors="replace")
            pairs = (pair.partition("=") for pair in told.split("\0") if pair)
            return {name: value for name, _, value in pairs}
    return {}


def database_of(found: dict[str, str], home: Path | None) -> str:
    """The database's address: the service keeps SQLite in its own folder where nobody says otherwise."""
    if not found:
        return ""
    return found.get("DATABASE_URL") or (f"sqlite:///{home / 'parley.sqlite3'}" if home else "")


class Inside:
    """Everything that can be read of a stack; `readings` names it. Close it, or use it in a `with` block."""

    def __init__(self, target: Target) -> None:
        found = environment(target)
        url, self._database = found.get("REDIS_URL", ""), database_of(found, target.home)
        self._broker = redis.Redis.from_url(url, socket_timeout=10) if url else None
        self._metrics = (target.base_url + "/metrics", target.metrics_token)
        self._http = httpx.Client(timeout=10, verify=False)  # noqa: S501 - certificates of our own making

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        if self._broker is not None:
            self._broker.close()

    def readings(self) -> dict[str, Reading]:
        """By name, what can be read here; each call may raise when the part is away."""
        found: dict[str, Reading] = {}
        if self._broker is not None:
            found |= {
                "queue_depth": self.waiting,
                "broker_mb": self.broker_mb,
                "broker_keys": self.broker_keys,
            }
        if self._database:
            found["database_rows"] = self.rows
        if self._metrics[1]:
            found["asyncio_tasks"] = self.asyncio_tasks
        return found

    def waiting(self) -> float:
        """Tasks in all queues that no worker has taken yet."""
        assert self._broker is not None
        broker: Any = self._broker  # its types know no difference between waiting and not
        names = islice(broker.scan_iter(count=1000, _type="list"), MOST_KEYS)
        return float(sum(broker.llen(name) for name in names))

    def broker_mb(self) -> float:
        assert self._broker is not None
        told: Any = self._broker.info("memory")
        return float(told["used_memory"]) / 2**20

    def broker_keys(self) -> float:
        assert self._broker is not None
        keys: Any = self._broker.dbsize()
        return float(keys)

    def asyncio_tasks(self) -> float:
        """Tasks of all event loops together."""
        url, token = self._metrics
        answer = self._http.get(url, headers={"Authorization": f"Bearer {token}"}).raise_for_status()
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        family = next((families[name] for name in TASKS if name in families), None)
        if family is None:
            raise LookupError("no figure tells of tasks")
        return float(sum(sample.value for sample in family.samples))

    def rows(self) -> float:
        """Rows of all tables."""
        return float(sum(self.tables().values()))

    def tables(self) -> dict[str, int]:
        """Rows by table."""
        told = urlsplit(self._database)
        if told.scheme == "sqlite":
            return _of_sqlite(Path(unquote(told.path.removeprefix("/"))))
        return _of_postgres(self._database)


def _of_sqlite(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: _count(database, name) for name in names}


def _count(database: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    return int(database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])  # noqa: S608 - quoted


def _of_postgres(url: str) -> dict[str, int]:
    with psycopg.connect(url) as database:
        names = database.execute("SELECT relname FROM pg_stat_user_tables").fetchall()
        counts = {}
        for (name,) in names:
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))
            row = database.execute(query).fetchone()
            counts[str(name)] = int(row[0]) if row else 0
        return counts
