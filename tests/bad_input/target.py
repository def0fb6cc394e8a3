"""The stack that is tried, the people who try it, and what must hold for it whatever they send."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from project.bench.stack import EmbeddedStack
from tests.bad_input.findings import Finding, Findings

SECONDS = 30.0
# More than any process of a small stack needs, and less than one unbounded read would take.
RESIDENT_MIB = 1800
MAKE = """
import json
from project.accounts import keys
from project.accounts.models import User
user, _ = User.objects.get_or_create(email={email!r}, defaults={{"name": "Customer"}})
user.set_password({password!r})
user.save()
made, key = keys.create(user, name="Test")
print("MADE", json.dumps({{"key": key, "key_id": made.pk, "user_id": user.pk}}))
"""
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Person:
    """An account and a key of it."""

    email: str
    key: str
    key_id: str
    user_id: str

    def client(self, base_url: str) -> httpx.Client:
        return httpx.Client(
            base_url=base_url, headers={"Authorization": f"Bearer {self.key}"}, timeout=SECONDS
        )


def person(stack: EmbeddedStack, email: str) -> Person:
    """Make a customer of the stack, who is not staff."""
    printed = stack.manage("shell", "-c", MAKE.format(email=email, password=PASSWORD))
    line = next(line for line in printed.splitlines() if line.startswith("MADE "))
    made: dict[str, Any] = json.loads(line.removeprefix("MADE "))
    return Person(email, made["key"], str(made["key_id"]), str(made["user_id"]))


class Guard:
    """Sees whether input ended a process, made one grow without bound, or broke something in silence."""

    def __init__(self, stack: EmbeddedStack) -> None:
        self._stack = stack
        self._pids = stack.pids()
        self._sizes = {path: path.stat().st_size for path in self._logs()}

    def _logs(self) -> list[Path]:
        return sorted((self._stack.home / "logs").glob("*.log"))

    def check(self, findings: Findings, part: str) -> None:
        """Add what broke since this guard was made."""
        now = self._stack.pids()
        for name, pid in self._pids.items():
            if now.get(name) != pid:
                findings.add(Finding(part, name, "the process ended"))
        for pid in self._stack.everything():
            if (size := resident_mib(pid)) > RESIDENT_MIB:
                findings.add(Finding(part, _command(pid), f"the process held {size} MiB"))
        for path in self._logs():
            with path.open("rb") as file:
                file.seek(self._sizes.get(path, 0))
                text = file.read().decode(errors="replace")
            for trace in tracebacks(text):
                findings.add(Finding(part, path.name, f"traceback: {trace.splitlines()[-1]}", {"log": trace}))


def tracebacks(log: str) -> list[str]:
    """The tracebacks in a log, each up to and with the line that names the error."""
    return re.findall(r"Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*\S.*", log)


def resident_mib(pid: int) -> int:
    """The most that a process ever held in memory, in MiB; 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) // 1024 if found else 0


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"process {pid}"
    return b" ".join(words[:6]).decode(errors="replace")[:120]
