"""From the pieces of an answer to sound on the reply's track, a sentence ahead of what is drawn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from sessions.pipeline.faults import Fault, next_within
from sessions.pipeline.measures import Measures
from sessions.pipeline.ports import Limits
from sessions.pipeline.track import Spoken, Track
from workers.adapters.errors import AdapterError
from workers.speech.script import Sentence
from workers.speech.stream import Part, speak_sentence_parts

if TYPE_CHECKING:
    from workers.adapters.tts.base import Synthesizer
    from workers.speech.voices import Voice

AHEAD_FRAMES = 150
"""No sentence is begun while so much sound waits to be drawn: six seconds."""
ATTEMPTS = 2
_LATE = ("speech_timeout", "The speech provider did not answer in time.")


class Speaker:
    """Says one sentence after the other."""

    def __init__(
        self, synthesizer: Synthesizer, voice: Voice, track: Track, limits: Limits, measures: Measures
    ) -> None:
        self._synthesizer, self._voice, self._track = synthesizer, voice, track
        self._limits, self._measures = limits, measures

    async def say(self, sentence: Sentence) -> None:
        """Put one sentence on the track. Raises `Fault`; what was said of the sentence stays there.

        Asked for again only while nothing of it was delivered.
        """
        await self._track.room(AHEAD_FRAMES)
        self._measures.mark("first_piece")
        piece = len(self._track.utterances)
        self._measures.waterfall.speaks(piece)
        for attempt in range(1, ATTEMPTS + 1):
            spoken = len(self._track.utterances)
            try:
                await self._deliver(sentence)
            except Fault as fault:
                begun = len(self._track.utterances) > spoken
                if begun:
                    self._track.close()
                if begun or fault.code != _LATE[0] or attempt == ATTEMPTS:
                    raise
            else:
                return
            finally:
                self._measures.waterfall.end("tts", piece, provider=self._measures.tts_provider or "")

    async def _deliver(self, sentence: Sentence) -> None:
        parts = speak_sentence_parts(self._synthesizer, sentence, self._voice)
        spoken: Spoken | None = None
        async with aclosing(parts):
            while (part := await self._next(parts, begun=spoken is not None)) is not None:
                spoken = self._take(sentence, spoken, part)
                await asyncio.sleep(0)  # what can be drawn now is asked for before the rest is looked at
        if spoken is not None:
            self._track.close()

    async def _next(self, parts: AsyncGenerator[Part, None], *, begun: bool) -> Part | None:
        seconds = self._limits.next_sound_seconds if begun else self._limits.first_sound_seconds
        try:
            return await next_within(parts, seconds, Fault("speech", *_LATE))
        except StopAsyncIteration:
            return None
        except AdapterError as exc:
            raise Fault("speech", _code(exc), str(exc)) from exc

    def _take(self, sentence: Sentence, spoken: Spoken | None, part: Part) -> Spoken | None:
        if spoken is None:
            if not part.pcm:
                return None
            self._measures.mark("first_sound")
            self._measures.waterfall.first("tts", len(self._track.utterances))
            self._measures.tts_provider = part.provider or None
            spoken = self._track.begin(sentence.text, sentence.spans)
        spoken.phones += part.phones
        spoken.timed = spoken.timed or bool(part.phones)
        spoken.said += part.words
        spoken.pause_ms = part.pause_ms
        self._track.add(part.pcm)
        return spoken


def _code(exc: AdapterError) -> str:
    return f"speech_{exc.code.removeprefix('provider_')}"
