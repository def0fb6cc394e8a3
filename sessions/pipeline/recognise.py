"""From a turn's sound to its words, often enough for captions and at a bounded cost.

Recognisers of whole recordings are asked again as a turn grows: one question at a time, and not more
often than a share of the time they take. When the customer pauses, the whole turn is asked for at once,
so that the words are there when the turn is over.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from sessions.pipeline.turns import Turn
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import Hypothesis, Recognizer, Transcript
from workers.adapters.stt.growing import wav
from workers.adapters.text import clean

__all__ = ["RecogniseOptions", "TurnWords", "Words", "believed", "deadline", "heard_sentences", "wav"]

_NOISE = re.compile(r"[\[(*♪][^\])*♪]*[\])*♪]?")
_SOUND = re.compile(r"[^\W_]")
# What recognisers write where nobody spoke, mostly learned from the ends of films.
_IMAGINED = frozenset(
    {
        "thank you", "thanks", "thanks for watching", "thank you for watching", "thank you very much", "you",
        "bye", "bye bye", "the end", "subtitles by the amara org community", "please subscribe", "so", "oh",
        "okay", "hmm", "mm", "uh", "um", "ah", "i", "the", "yeah", "silence", "music",
        "ご視聴ありがとうございました", "ありがとうございました", "字幕",
    }
)  # fmt: skip
SURE_VOICED_MS = 320
SURE_CONFIDENCE = 0.8
FASTEST_CHARACTERS_PER_SECOND = 40


@dataclass(frozen=True, slots=True)
class RecogniseOptions:
    """Times in ms. A growing turn is asked about every `partial_ms`, from `partial_after_ms` of voice on.

    Not sooner, though, than `partial_rest` times as long after the last answer as that one took.
    """

    partials: bool = True
    partial_after_ms: int = 500
    partial_ms: int = 700
    partial_rest: float = 2.5
    recognition_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class Words:
    """A transcript of a turn up to `until_ms`, and what it cost.

    `sentences` are timed from the first of the turn's sound; none where a provider tells no times.
    """

    text: str
    until_ms: int
    took_ms: float
    provider: str = ""
    sentences: tuple[Hypothesis, ...] = ()


def believed(text: str, *, voiced_ms: int, confidence: float, partial: bool = False) -> str:
    """The text as somebody said it, or nothing where a recogniser imagined it.

    `voiced_ms` is how much voice was heard in that sound, `confidence` how sure that it was one.
    What is `partial` may still become what they imagine.
    """
    told = " ".join(_NOISE.sub(" ", text).split())
    letters = len(_SOUND.findall(told))
    if not letters or voiced_ms <= 0:
        return ""
    plain = " ".join(re.sub(r"[^\w\s]", " ", told.lower()).split())
    sure = voiced_ms >= SURE_VOICED_MS and confidence >= SURE_CONFIDENCE
    imagined = plain in _IMAGINED or (partial and any(one.startswith(plain) for one in _IMAGINED))
    if imagined and not sure:
        return ""
    too_fast = letters > 20 and letters * 1000 / voiced_ms > FASTEST_CHARACTERS_PER_SECOND
    return "" if too_fast or _stutters(plain.split()) else told


def heard_sentences(told: Iterable[Hypothesis]) -> tuple[Hypothesis, ...]:
    """Sentences without the noises that recognisers write down, and without those that are nothing else."""
    plain = (replace(each, text=" ".join(_NOISE.sub(" ", clean(each.text)).split())) for each in told)
    return tuple(each for each in plain if _SOUND.search(each.text))


def _stutters(words: list[str]) -> bool:
    """Whether the same few words come again and again, as recognisers do on noise."""
    return len(words) >= 12 and len(set(words)) <= len(words) // 5


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One request about a turn's sound up to `until_ms`."""

    task: "asyncio.Task[Words]"
    until_ms: int
    partial: bool


class TurnWords:
    """The words of one turn. `sound` is 16 kHz mono s16le and grows from outside.

    `on_words` is told what the turn sounds like so far, whenever that is known anew.
    """

    _partials_running = 0  # of all customers of this process: captions never hold up an answer

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
        self._questions: list[Question] = []
        self._asked_ms = 0
        self._latest: Words | None = None
        self._begun = asyncio.get_running_loop().time()
        self.first_ms: float | None = None  # from the beginning of the turn to its first words
        self.sound = bytearray()

    def add(self, pcm16k: bytes) -> None:
        """More sound of the turn."""
        self.sound += pcm16k

    def grew(self, turn: Turn, now_ms: int) -> None:
        """Ask for a partial transcript, where it is time for one and nobody else of the process asks."""
        options, latest = self._options, self._latest
        pause = max(options.partial_ms, options.partial_rest * latest.took_ms if latest else 0)
        due = (
            now_ms - max(self._asked_ms, turn.start_ms) >= pause
            and turn.voiced_ms >= options.partial_after_ms
        )
        if options.partials and due and not self._questions and TurnWords._partials_running == 0:
            self._ask(turn, now_ms, partial=True)

    def paused(self, turn: Turn, now_ms: int) -> None:
        """Ask for everything so far, unless it is known or asked already: it may be all there is."""
        if not self._covers(turn):
            self._asked(turn, now_ms)

    async def final(self, turn: Turn, now_ms: int) -> Words:
        """The words of the whole turn; raises `AdapterError`."""
        if self._latest is not None and self._covers(turn):
            return self._latest
        async with deadline(self._options.recognition_seconds, self._recognizer.provider):
            return await self._asked(turn, now_ms)

    def leave(self) -> None:
        """Nobody wants the words any more."""
        self.cancel()

    def cancel(self) -> None:
        """Stop at once: the session is over."""
        for question in self._questions:
            question.task.cancel()

    def _covers(self, turn: Turn) -> bool:
        return self._latest is not None and self._latest.until_ms >= turn.voice_end_ms

    def _asked(self, turn: Turn, now_ms: int) -> "asyncio.Task[Words]":
        """The question about all of a turn, a new one or one that is under way."""
        for question in self._questions:
            if question.until_ms >= turn.voice_end_ms:
                return question.task
        # The first question is being answered, and its words are worth a caption; the others still wait.
        for question in self._questions[1:]:
            question.task.cancel()
        return self._ask(turn, now_ms, partial=False)

    def _ask(self, turn: Turn, now_ms: int, *, partial: bool) -> "asyncio.Task[Words]":
        """Ask about the sound so far."""
        self._asked_ms = now_ms
        evidence = (turn.voiced_ms, turn.confidence)
        work = self._listen(wav(bytes(self.sound)), now_ms, evidence)
        question = Question(asyncio.get_running_loop().create_task(work), now_ms, partial)
        self._questions.append(question)
        TurnWords._partials_running += partial
        question.task.add_done_callback(lambda _: self._answered(question))
        return question.task

    async def _listen(self, audio: bytes, until_ms: int, evidence: tuple[int, float]) -> Words:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        transcript = await self._recognizer.listen(audio, language=self._language)
        text = believed(clean(transcript.text), voiced_ms=evidence[0], confidence=evidence[1])
        took_ms = (loop.time() - begun) * 1000
        return Words(text, until_ms, took_ms, transcript.provider, _sentences(transcript) if text else ())

    def _answered(self, question: "Question") -> None:
        self._questions.remove(question)
        TurnWords._partials_running -= question.partial
        if question.task.cancelled() or question.task.exception() is not None:
            return  # a partial transcript that failed is no loss; the final one raises
        words = question.task.result()
        if self._latest is None or words.until_ms > self._latest.until_ms:
            self._latest = words
            if words.text:
                if self.first_ms is None:
                    self.first_ms = (asyncio.get_running_loop().time() - self._begun) * 1000
                self._on_words(words.text)


def _sentences(transcript: Transcript) -> tuple[Hypothesis, ...]:
    return heard_sentences(Hypothesis(s.text, True, s.start_ms, s.end_ms) for s in transcript.segments)


@asynccontextmanager
async def deadline(seconds: float, provider: str) -> AsyncIterator[None]:
    """Bound a wait for a recogniser; raises `AdapterError`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise AdapterError(
            "The speech provider did not answer in time.",
            provider=provider,
            retryable=True,
            code="provider_timeout",
        ) from exc
