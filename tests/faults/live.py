"""What the live fault tests share: a process of providers, and an avatar to talk with."""

import socket
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.live_client import LiveClient
from tests.support.stack import ROOT, EmbeddedStack

LONG = (
    "Certainly, I can help you with that. Our shop is open from Monday to Friday, from nine in the morning "
    "until six in the evening. On Saturday we close at four, and on Sunday we stay at home. "
    "You can bring shoes back within thirty days, and we return the money to your card."
)


class Providers:
    """Language model, voice and hearing in a process of their own; see `tests.support.provider_stub`."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "tests.support.provider_stub", "--port", str(port)]
        self._http = httpx.Client(base_url=self.url, timeout=10)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while True:
            try:
                self._http.get("/health").raise_for_status()
            except httpx.HTTPError:
                assert time.monotonic() < until, "the providers did not start"
                time.sleep(0.1)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._process.terminate()
        self._process.wait(10)

    def control(self, **settings: Any) -> None:
        """Change how they behave from now on; `reset=True` goes back to the beginning first."""
        self._http.post("/control", json=settings).raise_for_status()


def environment(providers: Providers) -> dict[str, str]:
    return {
        "LLM_BASE_URL": f"{providers.url}/v1",
        "LLM_MODEL": "stub",
        "LLM_API_KEY": "stub",
        "SPEECH_URL": providers.url,
        "SPEECH_API_KEY": "stub",
        "BUILTIN_AVATARS": "lena",
        "ALLOWANCE_CONCURRENT_SESSIONS": "100",
    }


def ready_avatar(stack: EmbeddedStack) -> str:
    """The id of the one built-in avatar."""
    with stack.client as client:
        until = time.monotonic() + 180
        while time.monotonic() < until:
            found = client.get("/api/v1/avatars").json()["results"]
            if found and found[0]["status"] == "ready":
                return str(found[0]["id"])
            time.sleep(0.5)
    raise AssertionError("the avatar did not become ready")


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
