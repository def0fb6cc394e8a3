"""What the live fault tests share: joining, and an answer heard to its end."""

from project.bench.client import LiveClient

SETTINGS = {"BUILTIN_AVATARS": "lena", "ALLOWANCE_CONCURRENT_SESSIONS": "100"}


async def joined(client: LiveClient) -> LiveClient:
    await client.create()
    await client.join()
    await client.connect_media()
    await client.event("session.state", where=lambda data: data.get("connected") is True)
    return client


async def answer(client: LiveClient, question: str = "When are you open?") -> float:
    """Ask, hear the answer to its end; returns when the question was sent."""
    begun = await client.user_text(question)
    await client.first_sound(begun, seconds=30)
    await client.event("speech.ended", since=begun, seconds=60)
    return begun
