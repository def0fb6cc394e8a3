"""What the client of language models adds to the server's own time.

The provider stub answers in another process, 60 tokens with no delay of its own. A bare httpx request
for the same stream is the floor. Prints and writes medians, the CPU time of the process, and what
importing the client costs a process.

    .venv/bin/python -m docs.benchmarks.language [--answers 200]
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from workers.adapters import registry
from workers.adapters.endpoint import Endpoint
from workers.adapters.llm.base import Message

PAGE = Path(__file__).with_suffix(".md")
TOKENS = 60
ASKED = [Message("system", "Be kind."), Message("user", "When are you open?")]
IMPORT = """
import time
import httpx
def resident():
    return int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20
before, begun = resident(), time.perf_counter()
import openai
from openai.resources.chat import AsyncCompletions
print(time.perf_counter() - begun, resident() - before)
"""


@contextmanager
def stub() -> Any:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "project.bench.provider_stub", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                told = {"first_token_ms": 0, "token_ms": 0, "reply": " ".join(["word"] * TOKENS)}
                httpx.post(f"{url}/control", json=told)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait()


async def _bare(url: str) -> Callable[[], AsyncIterator[Any]]:
    client = httpx.AsyncClient(verify=False, trust_env=False)  # noqa: S501 - it is plain HTTP
    body = {"model": "m", "stream": True, "max_tokens": 100, "messages": [{"role": "user", "content": "?"}]}

    async def ask() -> AsyncIterator[Any]:
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
            async for data in response.aiter_bytes():
                yield data if b'"content": "w' in data else None

    return ask


async def _client(url: str) -> Callable[[], AsyncIterator[Any]]:
    model = registry.language_model("openai_compatible", Endpoint(f"{url}/v1", "key"), {"model": "m"})

    async def ask() -> AsyncIterator[Any]:
        async for piece in model.stream(ASKED, max_tokens=100):
            yield piece

    return ask


async def _measured(ask: Callable[[], AsyncIterator[Any]], answers: int) -> tuple[float, float, float]:
    """Medians of ms to the first text, ms of a whole answer, and ms of CPU for it."""
    found = []
    for _ in range(answers + 10):
        begun, worked, first = time.perf_counter(), time.thread_time(), 0.0
        async for piece in ask():
            if piece and not first:
                first = time.perf_counter() - begun
        found.append((first, time.perf_counter() - begun, time.thread_time() - worked))
        await asyncio.sleep(0)
    return tuple(median(one[at] for one in found[10:]) * 1000 for at in range(3))  # type: ignore[return-value]


async def measure(answers: int) -> list[tuple[str, tuple[float, float, float]]]:
    with stub() as url:
        makers = (("a bare request", _bare), ("the client", _client))
        return [(name, await _measured(await make(url), answers)) for name, make in makers]


def page(found: list[tuple[str, tuple[float, float, float]]], seconds: float, megabytes: float) -> str:
    rows = "\n".join(f"| {name} | {f:.1f} | {w:.1f} | {c:.1f} |" for name, (f, w, c) in found)
    cores, load = os.cpu_count(), os.getloadavg()[0]
    return f"""# The client of language models

`python -m docs.benchmarks.language`: answers of {TOKENS} tokens without a delay of the server's, on {cores}
cores with a load of {load:.0f} from other work. Medians in ms.

| | first text | whole answer | CPU |
|---|---|---|---|
{rows}

Importing the SDK takes {seconds:.1f} s and {megabytes:.0f} MB, once for each web process, on a thread
while it starts; not where no language model is configured.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=200)
    found = asyncio.run(measure(parser.parse_args().answers))
    told = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True).stdout
    seconds, megabytes = (float(part) for part in told.split())
    PAGE.write_text(page(found, seconds, megabytes), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
