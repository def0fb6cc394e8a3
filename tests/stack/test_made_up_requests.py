"""Requests made from the API's own document break nothing. The long form: docs/security-testing.md."""

from pathlib import Path

import pytest

from project.bench.stack import EmbeddedStack
from tests.bad_input import rest
from tests.bad_input.findings import Findings
from tests.bad_input.target import Guard, person

SEED = 20


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    return Findings(tmp_path / "findings")


def test_a_customer_breaks_nothing(stack: EmbeddedStack, findings: Findings) -> None:
    me, guard = person(stack, "made-up-requests@example.com"), Guard(stack)
    plan = rest.Plan(SEED, phases=("coverage", "fuzzing"), examples=2)
    rest.run(stack.base_url, findings, plan, me.key, spare=frozenset({me.key_id}))
    guard.check(findings, rest.PART)
    assert findings.tried[rest.PART] > 1000
    assert findings.all == [], findings.told()


def test_a_stranger_gets_nowhere(stack: EmbeddedStack, findings: Findings) -> None:
    guard = Guard(stack)
    rest.run(stack.base_url, findings, rest.Plan(SEED, phases=("fuzzing",), examples=1), key=None)
    guard.check(findings, rest.PART)
    assert findings.tried[rest.PART] > 50
    assert findings.all == [], findings.told()
