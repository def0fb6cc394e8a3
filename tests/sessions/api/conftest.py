"""Alice's client, and a host that carries out what it is told."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from project.errors import ParleyError
from sessions import services
from sessions.runtime import commands
from tests.support.sessions import started


@dataclass
class Host:
    """Stands in for the process that hosts a session; `failure` is raised instead while it is set."""

    told: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    failure: ParleyError | None = None
    turn: int = 0
    hangs: bool = False

    def send(
        self, session_id: str, kind: str, payload: dict[str, Any], timeout: float = 2.0
    ) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        self.told.append((session_id, kind, payload))
        if kind == "end":
            if not self.hangs:
                services.session_end(session_id, payload["reason"])
            return {}
        if kind == "interrupt":
            return {"turn": self.turn or None, "heard_text": "Hello" if self.turn else ""}
        self.turn += 1
        return {"turn": self.turn}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(commands, "send", made.send)
    return made


@pytest.fixture
def client(api, alice):
    return api(alice)


@pytest.fixture
def stranger(api, mallory):
    return api(mallory)


@pytest.fixture
def running(alice, avatar, host):
    """A session of Alice's that is active."""
    return started(alice, avatar)[0]
