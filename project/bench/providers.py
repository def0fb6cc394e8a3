"""The stub of providers as a process of its own, so that its delays are true beside busy tests."""

import socket
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Self

import httpx

from project.embedded.stack import ROOT

START_SECONDS = 120.0  # of a machine that is busy
STOP_SECONDS = 10.0


class Providers:
    """Language model, voice and hearing; see `project.bench.provider_stub`."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "project.bench.provider_stub", "--port", str(port)]
        self._http = httpx.Client(base_url=self.url, timeout=10)

    def __enter__(self) -> Self:
        self._start()
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """End the process at once, as a provider that goes away; `revive` brings it back."""
        self._process.kill()
        self._process.wait()

    def revive(self) -> None:
        """Start it again at its address, with the settings that it begins with."""
        self._start()
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                self._http.get("/health").raise_for_status()
            except httpx.HTTPError:
                assert time.monotonic() < until, "the providers did not start"
                time.sleep(0.1)
            else:
                return

    def _stop(self) -> None:
        self._http.close()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def environment(self) -> dict[str, str]:
        """What makes a stack use them."""
        return {
            "LLM_BASE_URL": f"{self.url}/v1",
            "LLM_MODEL": "stub",
            "LLM_API_KEY": "stub",
            "SPEECH_URL": self.url,
            "SPEECH_API_KEY": "stub",
        }

    def control(self, **settings: Any) -> None:
        """Change how they behave from now on; `reset=True` goes back to the beginning first."""
        self._http.post("/control", json=settings).raise_for_status()

    def forget(self) -> None:
        """Forget what was asked so far; the settings stay."""
        self.control(forget=True)

    def spoken(self) -> list[str]:
        """What was given to be spoken since `forget`, piece by piece; of very much, the newest."""
        asked = self._http.get("/control").json()["asked"]
        return [one["body"]["input"] for one in asked if one["kind"] == "speech" and "input" in one["body"]]
