"""Where the time goes between a question and the first fragment that is handed to playout.

Real adapters talk HTTP to the provider stub (tests/support/provider_stub.py) in another process; real
playout ticks; drawing is replaced by a wait, since docs/benchmarks/live.md measures it. Prints the
median of each step, with the stub's own delays taken off.

    .venv/bin/python docs/benchmarks/conversation.py [--turns 40] [--draw-ms 0]
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

import httpx  # noqa: E402

from sessions.pipeline.conversation import Conversation  # noqa: E402
from sessions.pipeline.ports import AvatarSetup, Chunk, PersonaSetup, Setup  # noqa: E402
from tests.sessions.pipeline.cast import Drawn, ScriptedEars, ScriptedWorker, Stage, fragment  # noqa: E402
from workers.adapters import registry  # noqa: E402
from workers.adapters.endpoint import Endpoint  # noqa: E402
from workers.speech import voices  # noqa: E402

FIRST_TOKEN_MS, TOKEN_MS, FIRST_BYTE_MS = 150, 20, 100


class Wait(ScriptedWorker):
    """Draws by waiting."""

    async def render(self, chunk: Chunk) -> Drawn:
        await asyncio.sleep(self.seconds)
        return Drawn(fragment(chunk.frames), chunk.frames, self.seconds * 1000, 0.0)


def _setup(url: str) -> Setup:
    voice = voices.list_voices()[0]
    return Setup(
        session_id="ses_bench",
        avatar=AvatarSetup("viseme", "bundle", "sha", 512, 640),
        voice=voice,
        persona=PersonaSetup(system_prompt="Be kind.", knowledge="We are open.\n\nWe are closed."),
        language_model=registry.language_model("openai_compatible", Endpoint(f"{url}/v1", "key"), {"model": "stub"}),
        synthesizer=voices.synthesizer_for(voice, {"local": Endpoint(url, "key")}),
        recognizer=ScriptedEars(),
    )


async def _turn(talk: Conversation, stage: Stage) -> dict[str, Any]:
    stage.events.clear()
    stage.times.clear()
    begun = time.perf_counter()
    await talk.ask(text="When are you open?")
    accepted = (time.perf_counter() - begun) * 1000
    while not any(event["type"] == "speech.started" for event in stage.events):
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.3)
    await talk.interrupt()
    await asyncio.sleep(0.05)
    figures = next(event for event in stage.events if event["type"] == "metrics")
    return {"accepted_ms": accepted, **figures}


async def measure(url: str, turns: int, draw_ms: float) -> list[dict[str, Any]]:
    stage = Stage(Wait(seconds=draw_ms / 1000))
    talk = Conversation(_setup(url), stage)
    stage.talker = talk
    pump = asyncio.create_task(stage.pump())
    await talk.start()
    await asyncio.sleep(1)
    found = [await _turn(talk, stage) for _ in range(turns + 3)]
    await talk.close()
    pump.cancel()
    return found[3:]


def _row(name: str, values: list[float], floor: float = 0.0) -> str:
    over = sorted(value - floor for value in values)
    late = quantiles(over, n=20)[-1] if len(over) > 1 else over[0]
    return f"| {name} | {floor:.0f} | {median(over):.1f} | {late:.1f} |"


def report(found: list[dict[str, Any]], draw_ms: float) -> None:
    def column(name: str) -> list[float]:
        return [figures[name] for figures in found]

    piece = [figures["first_piece_ms"] - figures["llm_first_token_ms"] for figures in found]
    rest = [
        figures["first_segment_ms"]
        - figures["first_piece_ms"]
        - figures["tts_first_pcm_ms"]
        - figures["avatar_first_frame_ms"]
        for figures in found
    ]
    print("| step | given, ms | more, median ms | more, 95% ms |")
    print("|---|---|---|---|")
    print(_row("ask() taken", column("accepted_ms")))
    print(_row("first token", column("llm_first_token_ms"), FIRST_TOKEN_MS))
    print(_row("first clause cut", piece))
    print(_row("first sound", column("tts_first_pcm_ms"), FIRST_BYTE_MS))
    print(_row("first chunk cut and sent, fragment unpacked and pushed", rest))
    print(_row("drawing", column("avatar_first_frame_ms"), draw_ms))
    print(_row("question to first fragment in playout", column("first_segment_ms"), FIRST_TOKEN_MS + FIRST_BYTE_MS + draw_ms))
    print(_row("question to first frame presented", column("first_audible_ms"), FIRST_TOKEN_MS + FIRST_BYTE_MS + draw_ms))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--draw-ms", type=float, default=0.0)
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stub = subprocess.Popen([sys.executable, "-m", "tests.support.provider_stub", "--port", str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{url}/health")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        for frames in (5, 10, 20, 25):
            fragment(frames)
        report(asyncio.run(measure(url, options.turns, options.draw_ms)), options.draw_ms)
    finally:
        stub.terminate()
        stub.wait(5)


if __name__ == "__main__":
    main()
