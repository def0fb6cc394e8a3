"""The words of a turn from a recogniser that hears while somebody speaks.

The stream opens with the turn, gets its sound as it grows, and is over with it. What the recogniser is
sure of when the turn ends is not waited for; the stream then ends behind it, so that its connection
serves the next turn.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from sessions.pipeline.recognise import RecogniseOptions, Words, believed, deadline, heard_sentences, wav
from sessions.pipeline.turns import Turn
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import BYTES_PER_MS, Hypothesis, Recognizer, joined
from workers.adapters.text import clean

LEEWAY_MS = 300  # by which a recogniser and we may differ about where a voice ended
LINGER_SECONDS = 5.0


class _Sound:
    """The sound that comes, for one reader; None ends it. Waiting for it may be cancelled."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._over = False

    def put(self, piece: bytes) -> None:
        if not self._over:
            self._pieces.put_nowait(piece)

    def end(self) -> None:
        if not self._over:
            self._pieces.put_nowait(None)
        self._over = True

    def __aiter__(self) -> "_Sound":
        return self

    async def __anext__(self) -> bytes:
        piece = await self._pieces.get()
        if piece is None:
            self._pieces.put_nowait(None)  # whoever asks again is told again
            raise StopAsyncIteration
        return piece


class StreamedWords:
    """The words of one turn, as `TurnWords`."""

    def __init__(
        self,
        recognizer: Recognizer,
        language: str,
        options: RecogniseOptions,
        on_words: Callable[[str], None],
    ) -> None:
        self._recognizer = recognizer
        self._language = language
        self._options = options
        self._on_words = on_words
        self._coming = _Sound()
        self._turn: Turn | None = None
        self._voice_ms = 0  # of the sound, where a voice was heard last
        self._finals: list[Hypothesis] = []
        self._open: Hypothesis | None = None
        self._told = ""
        self._provider = ""
        self._news = asyncio.Event()
        self._left = False
        self._begun = asyncio.get_running_loop().time()
        self.first_ms: float | None = None
        self.sound = bytearray()
        self._following = asyncio.create_task(self._follow())
        self._following.add_done_callback(self._followed)

    def add(self, pcm16k: bytes) -> None:
        """More sound of the turn."""
        self.sound += pcm16k
        self._coming.put(pcm16k)

    def grew(self, turn: Turn, now_ms: int) -> None:  # noqa: ARG002 - as the sound is counted here
        """A voice was heard in what came last."""
        self._turn, self._voice_ms = turn, len(self.sound) // BYTES_PER_MS

    def paused(self, turn: Turn, now_ms: int) -> None:  # noqa: ARG002
        """It may be all there is."""
        self._turn = turn
        self._coming.put(b"")

    async def final(self, turn: Turn, now_ms: int) -> Words:
        """The words of the whole turn; raises `AdapterError`."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._turn = turn
        try:
            async with deadline(self._options.recognition_seconds, self._recognizer.provider):
                await self._settled()
                words = self._words(now_ms) or await self._asked_again(turn, now_ms)
        finally:
            self.leave()
        took_ms = (loop.time() - begun) * 1000
        return Words(words.text, now_ms, took_ms, words.provider, words.sentences)

    def leave(self) -> None:
        """Nobody waits any more: the stream may come to its end, but not take long for it."""
        self._left = True
        self._coming.end()
        if not self._following.done():
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._following.cancel)

    def cancel(self) -> None:
        """Stop at once: the session is over."""
        self._left = True
        self._following.cancel()

    @property
    def lingering(self) -> "asyncio.Task[None] | None":
        """What still runs after `leave`; to be cancelled when the session ends."""
        return None if self._following.done() else self._following

    async def _settled(self) -> None:
        """Wait until every word is certain, or nothing more will come."""
        if not self._complete():
            self._coming.end()
        while not (self._complete() or self._following.done()):
            self._news.clear()
            await self._news.wait()

    def _complete(self) -> bool:
        """Whether the recogniser is sure of everything up to the last voice."""
        if self._open is not None or not self._finals:
            return False
        return self._finals[-1].end_ms >= self._voice_ms - LEEWAY_MS

    def _words(self, now_ms: int) -> Words | None:
        """What was understood; None where the stream broke before it was sure of everything."""
        if not self._complete() and (self._following.cancelled() or self._following.exception()):
            return None
        text = self._believed(self._finals)
        sentences = heard_sentences(self._finals) if text else ()
        return Words(text, now_ms, 0.0, self._provider, sentences)

    async def _asked_again(self, turn: Turn, now_ms: int) -> Words:
        """The turn's sound as a recording: whoever broke may be back, and another may be there."""
        fault = None if self._following.cancelled() else self._following.exception()
        if fault is not None and not (isinstance(fault, AdapterError) and fault.retryable):
            raise fault
        transcript = await self._recognizer.listen(wav(bytes(self.sound)), language=self._language)
        told = [Hypothesis(s.text, True, s.start_ms, s.end_ms) for s in transcript.segments]
        text = believed(clean(transcript.text), voiced_ms=turn.voiced_ms, confidence=turn.confidence)
        return Words(text, now_ms, 0.0, transcript.provider, heard_sentences(told) if text else ())

    async def _follow(self) -> None:
        hearing = self._recognizer.hear(self._coming, language=self._language)
        async with aclosing(hearing):
            async for hypothesis in hearing:
                self._take(hypothesis)

    def _take(self, hypothesis: Hypothesis) -> None:
        self._provider = hypothesis.provider or self._recognizer.provider
        if hypothesis.final:
            self._finals.append(hypothesis)
        self._open = None if hypothesis.final else hypothesis
        self._news.set()
        if not self._left and (self._options.partials or hypothesis.final):
            self._tell()

    def _tell(self) -> None:
        told = [*self._finals, self._open] if self._open else self._finals
        text = self._believed(told, partial=self._open is not None)
        if not text or text == self._told:
            return
        self._told = text
        if self.first_ms is None:
            self.first_ms = (asyncio.get_running_loop().time() - self._begun) * 1000
        self._on_words(text)

    def _believed(self, told: list[Hypothesis], *, partial: bool = False) -> str:
        if self._turn is None:
            return ""
        text = joined(clean(each.text) for each in told)
        turn = self._turn
        return believed(text, voiced_ms=turn.voiced_ms, confidence=turn.confidence, partial=partial)

    def _followed(self, task: "asyncio.Task[None]") -> None:
        self._news.set()
        if not task.cancelled():
            task.exception()  # told by `final`; without it nobody wants to know
