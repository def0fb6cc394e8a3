"""Messages, floods, frames and handshakes that nobody should send: every session answers the next one."""

import asyncio
from pathlib import Path

import pytest

from project.bench.stack import EmbeddedStack
from tests.bad_input import frames, sockets
from tests.bad_input.findings import Findings
from tests.bad_input.target import Guard, person

SEED = 20


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    return Findings(tmp_path / "findings")


@pytest.fixture(scope="module")
def key(stack: EmbeddedStack) -> str:
    return person(stack, "made-up-messages@example.com").key


def test_conversations_of_anything(stack: EmbeddedStack, findings: Findings, key: str, avatar: str) -> None:
    guard = Guard(stack)
    sockets.run(stack.base_url, findings, key=key, avatar=avatar, seed=SEED, examples=120)
    guard.check(findings, sockets.PART)
    assert findings.tried[sockets.PART] > 200
    assert findings.all == [], findings.told()


async def test_floods(stack: EmbeddedStack, findings: Findings, key: str, avatar: str) -> None:
    guard = Guard(stack)
    await sockets.floods(stack.base_url, findings, key, avatar)
    await asyncio.to_thread(guard.check, findings, sockets.PART)
    assert findings.tried[sockets.PART] == len(sockets.FLOODS)
    assert findings.all == [], findings.told()


async def test_broken_frames(stack: EmbeddedStack, findings: Findings, key: str, avatar: str) -> None:
    guard = Guard(stack)
    async with sockets.Line(stack.base_url, key, avatar) as line:
        await frames.run(line, findings, seed=SEED, examples=10)
    await asyncio.to_thread(guard.check, findings, frames.PART)
    assert findings.tried[frames.PART] == len(frames.FRAMES) + len(frames.HANDSHAKES) + 10
    assert findings.all == [], findings.told()
