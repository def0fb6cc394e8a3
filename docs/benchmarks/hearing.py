"""Measures how soon words are there: `python -m docs.benchmarks.hearing`.

A customer asks a question of four seconds of recognisers whose every delay is known: two that hear while
somebody speaks and three of whole recordings. Time is that of a loop whose clock jumps, so the figures
are those of our own rules, the same on every machine. Writes hearing.md.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from sessions.pipeline.listen import Ears, Listener, UserTurn
from tests.sessions.pipeline.cast import VirtualLoop
from tests.support.hearing import mixed, pieces, room, spoken
from tests.support.recognisers import Line, Streamed
from workers.adapters.stt.base import Hypothesis, Recognizer, Transcript
from workers.adapters.stt.growing import Growing

PAGE = Path(__file__).with_suffix(".md")
BEGIN_MS, PIECE_MS = 1_000, 20
SAID = [Line(300, 1_200, "Good morning there."), Line(1_500, 4_300, "When do you open on Sunday evenings?")]
AS_ONE = [Line(300, 4_300, " ".join(line.text for line in SAID))]


class Stream(Streamed):
    """Tells words `delay` seconds after they were said."""

    def __init__(self, lines: list[Line], *, delay: float, silence_ms: int, final: float) -> None:
        super().__init__("stream", lines, silence_ms=silence_ms)
        self.delay, self.final_seconds = delay, final

    async def hear(
        self, sound: AsyncIterator[bytes], *, language: str = ""
    ) -> AsyncGenerator[Hypothesis, None]:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[tuple[float, Hypothesis | None]] = asyncio.Queue()

        async def gather() -> None:
            async for told in super(Stream, self).hear(sound, language=language):
                waiting.put_nowait((loop.time() + self.delay, told))
            waiting.put_nowait((loop.time(), None))

        gathering = loop.create_task(gather())
        try:
            while (item := await waiting.get())[1] is not None:
                await asyncio.sleep(max(0.0, item[0] - loop.time()))
                yield item[1]
        finally:
            gathering.cancel()


class Whole(Growing):
    """Takes a time for each question, and a share of the recording's length."""

    provider = "whole"

    def __init__(self, seconds: float, share: float) -> None:
        self.seconds, self.share, self.asked = seconds, share, 0

    def recognize(self, audio: bytes, *, language: str = "") -> Transcript:
        raise NotImplementedError

    async def listen(self, audio: bytes, *, language: str = "") -> Transcript:  # noqa: ARG002
        self.asked += 1
        length = len(audio) / 32_000
        await asyncio.sleep(self.seconds + self.share * length)
        words = " ".join(line.text for line in SAID).split()
        return Transcript(" ".join(words[: max(1, round(len(words) * length / 4.8))]))


def recognisers() -> list[tuple[str, Recognizer]]:
    return [
        (
            "stream, 100 ms behind, sure after 500 ms of silence",
            Stream(SAID, delay=0.1, silence_ms=500, final=0.15),
        ),
        (
            "stream, 100 ms behind, sure 150 ms after it is told the end",
            Stream(AS_ONE, delay=0.1, silence_ms=9_999, final=0.15),
        ),
        ("recordings, 0.3 s", Whole(0.3, 0.0)),
        ("recordings, 0.2 s and a sixth of their length (this machine's)", Whole(0.2, 1 / 6)),
        ("recordings, 1.2 s", Whole(1.2, 0.0)),
    ]


async def question(ears: Recognizer) -> dict[str, float]:
    """One question at the speed of life: ms of its first caption, its captions, its end and its words."""
    loop, told, turns = asyncio.get_running_loop(), list[float](), list[tuple[float, UserTurn]]()
    begun = loop.time()
    heard = Ears(
        on_turn=lambda turn: turns.append((loop.time(), turn)),
        on_partial=lambda _: told.append(loop.time()),
    )
    listener = Listener(language="en", recognizer=ears, ears=heard)
    for piece, at in pieces(mixed(9, (BEGIN_MS / 1000, spoken("question")), (0, room(9))), PIECE_MS):
        await asyncio.sleep(begun + at / 1000 - loop.time())
        listener.feed(piece, at)
    listener.close()
    moment, turn = turns[0]
    return {
        "first": (told[0] - begun) * 1000 - turn.start_ms,
        "captions": len(told),
        "words": (moment - begun) * 1000 - turn.end_ms,
    }


def row(name: str, ears: Recognizer) -> str:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        found = runner.run(question(ears))
    return f"| {name} | {' | '.join(f'{value:.0f}' for value in found.values())} |"


def page() -> str:
    rows = "\n".join(row(name, ears) for name, ears in recognisers())
    return f"""# Hearing

```
python -m docs.benchmarks.hearing
```

A question of four seconds, two sentences, in a quiet room, sound in pieces of {PIECE_MS} ms. The recognisers
are fakes whose delays are told in their names, and time is counted, not waited for: these are the costs of
our own rules. The first caption is counted from the beginning of the voice (`asr_partial_latency_ms`), the
words of the whole turn from the end of the voice; at least 550 ms of that is the silence that ends a turn
whose words sound complete, 700 ms for others.

| recogniser | first caption, ms | captions | words of the turn, ms after the voice |
|---|---|---|---|
{rows}

A stream's captions follow the words. Its final words are mostly certain before the turn is over, so that
nothing is waited for; one that is sure only when it is told the end is waited for as long as it takes.
Recordings are asked for when the customer pauses, so that a quick recogniser costs nothing after the turn
either, and a slow one what is left of its time.
"""


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
