"""Spoilt files wherever a file may be posted, and garbage at every port: nothing breaks, grows or hangs."""

import asyncio
from pathlib import Path

import pytest

from project.bench.stack import EmbeddedStack
from tests.bad_input import media, ports
from tests.bad_input.findings import Findings
from tests.bad_input.target import Guard, person

SEED = 20


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    return Findings(tmp_path / "findings")


def test_spoilt_files(stack: EmbeddedStack, findings: Findings) -> None:
    guard, key = Guard(stack), person(stack, "spoilt-files@example.com").key
    media.run(stack.base_url, findings, key=key, staff_key=stack.api_key, seed=SEED, examples=120)
    guard.check(findings, media.PART)
    assert findings.tried[media.PART] >= 120
    assert findings.all == [], findings.told()


def test_garbage_at_every_port(stack: EmbeddedStack, findings: Findings) -> None:
    guard = Guard(stack)
    ports.garbage(stack, findings, seed=SEED)
    guard.check(findings, ports.PART)
    assert findings.all == [], findings.told()
    assert {"web", "valkey", "storage", "speech"} <= set(ports.ports(stack).values())


async def test_datagrams_of_strangers(stack: EmbeddedStack, findings: Findings, avatar: str) -> None:
    guard, key = Guard(stack), person(stack, "datagrams@example.com").key
    await ports.datagrams(stack.base_url, key, avatar, findings, seed=SEED)
    await asyncio.to_thread(guard.check, findings, ports.PART)
    assert findings.tried[ports.PART] > 100
    assert findings.all == [], findings.told()
