"""Where the repeats of a join end, as a client that asks with a ping sees it (docs/sessions.md)."""

from typing import Any

import pytest


@pytest.mark.parametrize("where", ["here", "in another process"])
async def test_a_ping_at_the_door_is_answered_behind_all_that_was_missed(
    world: Any, begin: Any, where: str
) -> None:
    created = await begin()
    first = await world.join(created)
    await first.say("user.text", text="Hello")
    await first.event("reply.delta")
    if where == "in another process":
        world.process()
    again = await world.socket(created, since=0)
    await again.say("ping")
    await again.event("pong")
    joins = [number for number, event in enumerate(again.events) if "ice_servers" in event]
    said = next(number for number, event in enumerate(again.events) if event["type"] == "reply.delta")
    assert len(joins) == 2  # the first client's is repeated
    assert joins[0] < said < joins[1] < len(again.events) - 1
    behind = again.seqs[joins[1] :]
    await again.say("ping")
    await again.event("pong")
    assert again.seqs[joins[1] :][: len(behind) + 1] == list(range(behind[0], behind[0] + len(behind) + 1))
