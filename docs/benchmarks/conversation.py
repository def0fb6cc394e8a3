"""Where the time goes between a question and the first fragment that is handed to playout.

Real adapters talk HTTP to the provider stub (project/bench/provider_stub.py) in another process; real
playout ticks; drawing is replaced by a wait, since `live_render` measures it. Prints and writes the time
of each step beyond the stub's own delays, and the CPU time of the process, which other work on the
machine does not change much.

    .venv/bin/python -m docs.benchmarks.conversation [--turns 40] [--draw-ms 24]
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")  # noqa: TID251 - a program of its own

import django

django.setup()

import httpx  # noqa: E402

from sessions.pipeline.conversation import Conversation  # noqa: E402
from sessions.pipeline.measures import Measures  # noqa: E402
from sessions.pipeline.ports import AvatarSetup, Chunk, PersonaSetup, Setup  # noqa: E402
from tests.sessions.pipeline.cast import Drawn, ScriptedEars, ScriptedWorker, Stage, fragment  # noqa: E402
from workers.adapters import registry  # noqa: E402
from workers.adapters.endpoint import Endpoint  # noqa: E402
from workers.speech import voices  # noqa: E402

FIRST_TOKEN_MS, FIRST_BYTE_MS = 150, 100
PAGE = Path(__file__).with_suffix(".md")
MOMENTS = (
    *("asked", "first_token", "first_piece", "first_sound"),
    *("first_request", "first_fragment", "first_pushed"),
)


class CpuMarks:
    """CPU time of this thread at each moment of the newest reply."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        mark = Measures.mark

        def marked(measures: Measures, moment: str) -> None:
            if getattr(measures, moment) is None:
                self.at[moment] = time.thread_time()
            mark(measures, moment)

        Measures.mark = marked  # type: ignore[method-assign]

    def steps(self) -> dict[str, float]:
        pairs = pairwise(MOMENTS)
        return {f"cpu_{b}": (self.at[b] - self.at[a]) * 1000 for a, b in pairs}


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
        language_model=registry.language_model(
            "openai_compatible", Endpoint(f"{url}/v1", "key"), {"model": "stub"}
        ),
        synthesizer=voices.synthesizer_for(voice, {"local": Endpoint(url, "key")}),
        recognizer=ScriptedEars(),
    )


async def _told(stage: Stage, kind: str, every: float = 0.02) -> None:
    while not any(event["type"] == kind for event in stage.events):  # noqa: ASYNC110 - nobody calls back
        await asyncio.sleep(every)


async def _turn(talk: Conversation, stage: Stage, cpu: CpuMarks) -> dict[str, Any]:
    stage.events.clear()
    stage.times.clear()
    cpu.at = {"asked": time.thread_time()}
    await talk.ask(text="When are you open?")
    await _told(stage, "speech.started")
    await asyncio.sleep(0.3)
    await talk.interrupt()
    await asyncio.sleep(0.05)
    figures = next(event for event in stage.events if event["type"] == "metrics")
    return {**figures, **cpu.steps()}


async def _whole(talk: Conversation, stage: Stage) -> float:
    """Percent of a core that a session takes while it speaks, without drawing and sending."""
    stage.events.clear()
    frames = len(stage.recorded)
    begun = time.thread_time()
    await talk.ask(text="When are you open?")
    await _told(stage, "metrics", every=0.5)
    seconds = sum(len(pcm) for _, pcm, _ in stage.recorded[frames:]) / 96_000
    return (time.thread_time() - begun) / seconds * 100


async def measure(url: str, turns: int, draw_ms: float) -> tuple[list[dict[str, Any]], float]:
    stage, cpu = Stage(Wait(seconds=draw_ms / 1000)), CpuMarks()
    talk = Conversation(_setup(url), stage)
    stage.talker = talk
    pump = asyncio.create_task(stage.pump())
    await talk.start()
    await asyncio.sleep(1)
    found = [await _turn(talk, stage, cpu) for _ in range(turns + 3)]
    share = min([await _whole(talk, stage) for _ in range(3)])
    await talk.close()
    pump.cancel()
    return found[3:], share


def page(found: list[dict[str, Any]], share: float, draw_ms: float) -> str:
    """The figures as a table."""

    def row(name: str, floor: float, values: list[float], cpu: str = "") -> str:
        over = [value - floor for value in values]
        spent = f"{median(figures[cpu] for figures in found):.1f}" if cpu else ""
        return f"| {name} | {floor:.0f} | {median(over):.1f} | {quantiles(over, n=20)[-1]:.1f} | {spent} |"

    def of(*names: str) -> list[float]:
        first, *others = names
        return [figures[first] - sum(figures[name] for name in others) for figures in found]

    whole = FIRST_TOKEN_MS + FIRST_BYTE_MS + draw_ms
    between = of("first_segment_ms", "first_piece_ms", "tts_first_pcm_ms", "avatar_first_frame_ms")
    rows = [
        row("first token", FIRST_TOKEN_MS, of("llm_first_token_ms"), "cpu_first_token"),
        row("first clause", 0, of("first_piece_ms", "llm_first_token_ms"), "cpu_first_piece"),
        row("first sound", FIRST_BYTE_MS, of("tts_first_pcm_ms"), "cpu_first_sound"),
        row("first chunk cut, and its fragment pushed", 0, between, "cpu_first_request"),
        row("drawing (a wait)", draw_ms, of("avatar_first_frame_ms"), "cpu_first_fragment"),
        row("question to first fragment in playout", whole, of("first_segment_ms")),
        row("question to first frame presented", whole, of("first_audible_ms")),
    ]
    load = os.getloadavg()[0]
    return "\n".join(
        [
            "# A reply, step by step",
            "",
            f"`python -m docs.benchmarks.conversation`: {len(found)} questions, on {os.cpu_count()}",
            f"cores with a load of {load:.0f} from other work. The stub gives its first token after 150 ms",
            f"and its first sound after 100 ms; a chunk is drawn in {draw_ms:.0f} ms. The CPU column is",
            "what the process itself worked in the step.",
            "",
            "| step | given, ms | more, median ms | more, 95% ms | CPU, ms |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"A session that speaks costs the process {share:.2f}% of a core, without drawing and sending:",
            "the clients of the providers, text, sound, chunks, Opus and playout. What the client of",
            "language models adds is in [language](language.md); a lean one of our own took 5 ms of CPU for",
            "60 tokens, the official one takes 7, and 36 MB for its import.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--draw-ms", type=float, default=24.0)
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stub = subprocess.Popen([sys.executable, "-m", "project.bench.provider_stub", "--port", str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{url}/health")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        for frames in range(1, 40):
            fragment(frames)
        found, share = asyncio.run(measure(url, options.turns, options.draw_ms))
        PAGE.write_text(page(found, share, options.draw_ms), encoding="utf-8")
    finally:
        stub.terminate()
        stub.wait(5)


if __name__ == "__main__":
    main()
