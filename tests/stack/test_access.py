"""Every address of the service, tried by everyone who has no business there."""

from pathlib import Path

import httpx
import pytest

from project.bench.stack import EmbeddedStack
from tests.bad_input import access, cast
from tests.bad_input.findings import Findings
from tests.bad_input.target import Guard


@pytest.fixture(scope="module")
def victim(stack: EmbeddedStack, avatar: str) -> cast.Victim:
    return cast.victim(stack, avatar, "victim-of-all@example.com")


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    return Findings(tmp_path / "findings")


def test_nobody_gets_anything_of_anothers(
    stack: EmbeddedStack, victim: cast.Victim, findings: Findings
) -> None:
    guard = Guard(stack)
    access.run(stack.base_url, findings, cast.callers(stack, victim), victim.names)
    guard.check(findings, access.PART)
    assert findings.tried[access.PART] > 2500
    assert findings.all == [], findings.told()
    with victim.person.client(stack.base_url) as owner:
        _unharmed(owner, victim)


def _unharmed(owner: httpx.Client, victim: cast.Victim) -> None:
    """All that the victim had is there, and as it was."""
    names = victim.names
    assert owner.get(f"/api/v1/clips/{names['clip_id']}").json()["status"] == "succeeded"
    assert owner.get(f"/api/v1/webhook-endpoints/{names['endpoint_id']}").status_code == 200
    session = owner.get(f"/api/v1/sessions/{names['session_id']}").json()
    assert (session["status"], session["avatar"]) == ("created", names["avatar_id"])
    persona = owner.get(f"/api/v1/personas/{names['persona_id']}").json()
    assert persona["name"] == "Mine alone"
    documents = owner.get(f"/api/v1/personas/{persona['id']}/documents").json()["results"]
    assert [document["id"] for document in documents] == [names["document_id"]]
