"""Listens to one customer: sound in, turns out.

Sound of any chunking is cut into 32 ms pieces. An energy gate keeps a silent customer from costing
anything; what passes is judged by the voice detector, and while the avatar speaks, by whether it is the
avatar's own voice from the loudspeaker. Turns are recognised while they grow.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from sessions.pipeline.echo import EchoGuard
from sessions.pipeline.gate import Gate, levels_db
from sessions.pipeline.recognise import RecogniseOptions, TurnWords, Words
from sessions.pipeline.streamed import StreamedWords
from sessions.pipeline.timeline import MicrophoneTime
from sessions.pipeline.turns import Decision, Heard, Turn, TurnRules, TurnTaker
from sessions.pipeline.vad import CHUNK_MS, CHUNK_SAMPLES, RATE, Samples, VoiceDetector
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import Hypothesis, Recognizer, Segment

CHUNK_BYTES = CHUNK_SAMPLES * 2
KEEP_CHUNKS = 24  # sound before a turn that is still known: 768 ms
WARM_CHUNKS = 4  # what the detector hears before the chunk that opened the gate
WATCH_SECONDS = 0.2
LONGEST_GAP_MS = 2_000


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """Times in ms. `preroll_ms` of sound before a voice was noticed belong to its turn.

    `release_ms` after a push-to-talk button was let go its last sound has come. Sound that is
    missing for `missing_ms` counts as silence.
    """

    rules: TurnRules = field(default_factory=TurnRules)
    words: RecogniseOptions = field(default_factory=RecogniseOptions)
    preroll_ms: int = 320
    release_ms: int = 240
    missing_ms: int = 250


@dataclass(frozen=True, slots=True)
class UserTurn:
    """What a customer said; times are on the session's timeline. `pcm16k` includes the pre-roll.

    `recognition_ms` is how long the final transcript took; of a stream, how long it was waited for.
    `partial_ms` is the time from the beginning of the voice to the first words (None without).
    `sentences` have their times where the provider told them. `decided_ms` is when the turn was taken for
    over, `asked_ms` when the recogniser was asked for the words that were used.
    """

    text: str
    start_ms: int
    end_ms: int
    pcm16k: bytes
    recognition_ms: float
    partial_ms: float | None = None
    provider: str = ""
    sentences: tuple[Hypothesis, ...] = ()
    decided_ms: int = 0
    asked_ms: int = 0


def _nothing(*_: object) -> None:
    """For callbacks that nobody asked for."""


@dataclass(frozen=True, slots=True)
class Ears:
    """Whom a listener tells; all are called on the event loop.

    After `on_speech_started` comes either `on_turn` or `on_dropped` (a cough, a click, nothing that a
    recogniser understood). `on_barge_in` comes just before `on_speech_started` when the avatar is
    talked over. `on_fault` tells why a turn could not be recognised; `on_dropped` follows it.
    `on_problem(code, detail)` tells about sound that cannot be listened to.
    """

    on_turn: Callable[[UserTurn], None]
    on_barge_in: Callable[[int], None] = _nothing
    on_speech_started: Callable[[int], None] = _nothing
    on_partial: Callable[[str], None] = _nothing
    on_dropped: Callable[[], None] = _nothing
    on_fault: Callable[[AdapterError], None] = _nothing
    on_problem: Callable[[str, str], None] = _nothing


class Listener:
    """One customer's microphone. Made, fed and closed on one event loop."""

    def __init__(
        self, *, language: str, recognizer: Recognizer, ears: Ears, options: ListenOptions | None = None
    ) -> None:
        self._language = language
        self._recognizer = recognizer
        self._ears = ears
        self._options = options or ListenOptions()
        self._gate = Gate()
        self._detector = VoiceDetector()
        self._taker = TurnTaker(self._options.rules)
        self._echo = EchoGuard()
        self._timeline = MicrophoneTime()
        self._pending = bytearray()
        self._history: deque[bytes] = deque(maxlen=KEEP_CHUNKS)
        self._avatar_speaking = False
        self._release_at_ms: int | None = None
        self._words: TurnWords | StreamedWords | None = None
        self._origin_ms = self._noticed_ms = 0  # of the turn: where its sound begins, when it was noticed
        self._closing: set[asyncio.Task[None]] = set()
        self._watch: asyncio.TimerHandle | None = None
        self._fed_at = asyncio.get_running_loop().time()

    def feed(self, pcm16k: bytes, at_ms: int) -> None:
        """Hear sound that arrived at `at_ms`: 16 kHz mono s16le, in pieces of any size."""
        self._fed_at = asyncio.get_running_loop().time()
        samples = (len(pcm16k) + len(self._pending) % 2) // 2
        if missing := self._timeline.arrived(samples, at_ms):
            self._pass_silence(missing)
            self._timeline.heard_ms = max(self._timeline.heard_ms, at_ms - samples * 1000 // RATE)
            self._taker.moved(self._timeline.heard_ms)
        if problem := self._timeline.problem():
            self._ears.on_problem(*problem)
        if self._timeline.too_fast:
            return
        self._pending += pcm16k
        if whole := len(self._pending) // CHUNK_BYTES * CHUNK_BYTES:
            sound = bytes(self._pending[:whole])
            del self._pending[:whole]
            self._hear(sound)

    def avatar_audio(self, pcm: bytes, at_ms: int, *, rate: int = 48_000) -> None:
        """Tell what the avatar says from `at_ms` on: mono s16le, as it is handed to playout or later."""
        self._echo.said(pcm, at_ms, rate=rate)

    def avatar_cut(self, at_ms: int) -> None:
        """Tell that nothing of `avatar_audio` after this moment is played."""
        self._echo.cut(at_ms)

    def set_avatar_speaking(self, speaking: bool) -> None:
        self._avatar_speaking = speaking

    def mic_start(self) -> None:
        """Push-to-talk: everything from now on is one turn, until `mic_stop`."""
        self._release_at_ms = None
        begins = self._taker.turn is None
        if self._avatar_speaking:
            self._ears.on_barge_in(self._timeline.heard_ms)
        self._taker.press(self._timeline.heard_ms)
        if begins and self._taker.turn:
            self._begin(self._taker.turn, preroll_ms=0)

    def mic_stop(self) -> None:
        """End the turn of `mic_start`, when the sound that is still on its way has come."""
        if self._words is not None:
            self._release_at_ms = self._timeline.heard_ms + self._options.release_ms
        else:  # the turn is over already, too long for one: the next ends on silence again
            self._taker.release()

    def close(self) -> None:
        self._drop_words()
        for task in self._closing:
            task.cancel()
        if self._watch:
            self._watch.cancel()

    def _hear(self, sound: bytes) -> None:
        samples = np.frombuffer(sound, np.int16)
        levels = levels_db(samples)
        was_open = self._gate.open
        passed = [self._gate.passes(level) for level in levels]
        if self._taker.turn is None and not any(passed):
            self._keep(_cut(sound))
            return
        odds = self._odds(samples, warm=not was_open and self._taker.turn is None)
        for chunk, level, odd in zip(_cut(sound), levels, odds, strict=True):
            self._gate.heard(level, odd)
            self._listen(chunk, odd)

    def _odds(self, samples: Samples, *, warm: bool) -> list[float]:
        """Probabilities of a voice; after a silence that was left out, the detector hears its end first."""
        if not warm:
            return self._detector.hear(samples)
        self._detector.reset()
        before = b"".join(list(self._history)[-WARM_CHUNKS:])
        odds = self._detector.hear(np.concatenate((np.frombuffer(before, np.int16), samples)))
        return odds[len(before) // CHUNK_BYTES :]

    def _listen(self, chunk: bytes, probability: float) -> None:
        self._keep([chunk])
        if self._words:
            self._words.add(chunk)
        now = self._timeline.heard_ms
        cautious = self._avatar_speaking or self._echo.sounding(now)
        voice = probability >= self._options.rules.stay_probability
        explained = cautious and voice and self._echo.explains()
        self._decide(self._taker.hear(Heard(now, probability, cautious, explained)))
        self._end_of_press()
        turn = self._taker.turn
        if self._words and turn and turn.voice_end_ms == now:
            self._words.grew(turn, now)

    def _keep(self, chunks: list[bytes]) -> None:
        """Move on, with the last moments in mind: a turn begins before it is noticed."""
        for chunk in chunks:
            self._timeline.heard_ms += CHUNK_MS
            self._echo.heard(chunk, self._timeline.heard_ms)
        self._history.extend(chunks)

    def _decide(self, decision: Decision | None) -> None:
        turn = self._taker.turn
        if decision is None or turn is None:
            return
        if decision in ("started", "barged_in"):
            if decision == "barged_in":
                self._ears.on_barge_in(turn.start_ms)
            self._begin(turn, preroll_ms=self._options.preroll_ms)
        elif decision == "paused" and self._words:
            self._words.paused(turn, self._timeline.heard_ms)
        elif decision == "ended":
            self._finish(turn)
        elif decision == "dropped":
            self._taker.end()
            self._drop_words()
            self._ears.on_dropped()

    def _begin(self, turn: Turn, *, preroll_ms: int) -> None:
        """Open a turn with the sound from just before it."""
        back_ms = self._timeline.heard_ms - turn.start_ms + preroll_ms
        chunks = min(len(self._history), max(0, -(-back_ms // CHUNK_MS)))
        kind = StreamedWords if self._recognizer.streaming else TurnWords
        words: TurnWords | StreamedWords = kind(
            self._recognizer, self._language, self._options.words, lambda text: self._heard_words(words, text)
        )
        self._words = words
        self._origin_ms, self._noticed_ms = (
            self._timeline.heard_ms - chunks * CHUNK_MS,
            self._timeline.heard_ms,
        )
        words.add(b"".join(list(self._history)[len(self._history) - chunks :]))
        words.grew(turn, self._timeline.heard_ms)
        self._ears.on_speech_started(turn.start_ms)
        self._look_after()

    def _heard_words(self, words: TurnWords | StreamedWords, text: str) -> None:
        """Words of the turn in progress; they also tell how long to wait for more."""
        if self._words is words:
            self._taker.judge(text)
            self._ears.on_partial(text)

    def _end_of_press(self) -> None:
        if self._release_at_ms is None or self._timeline.heard_ms < self._release_at_ms:
            return
        self._release_at_ms = None
        self._taker.release()
        if turn := self._taker.turn:
            voiced = turn.voiced_ms >= self._options.rules.begin_voiced_ms
            self._decide("ended" if voiced else "dropped")

    def _finish(self, turn: Turn) -> None:
        words, self._words = self._words, None
        self._taker.end()
        if words is not None:
            told = _Told(words, self._origin_ms, self._noticed_ms - turn.start_ms)
            self._end_later(
                asyncio.get_running_loop().create_task(self._tell(turn, told, self._timeline.heard_ms))
            )

    def _end_later(self, task: asyncio.Task[None]) -> None:
        """Have a task cancelled when the session ends before it."""
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _tell(self, turn: Turn, told: "_Told", now_ms: int) -> None:
        words = told.words
        try:
            final = await words.final(turn, now_ms)
        except AdapterError as exc:
            self._ears.on_fault(exc)
            self._ears.on_dropped()
            return
        finally:
            self._linger(words)
        if not final.text:
            self._ears.on_dropped()
            return
        self._ears.on_turn(
            UserTurn(
                text=final.text,
                start_ms=turn.start_ms,
                end_ms=turn.voice_end_ms,
                pcm16k=bytes(words.sound),
                recognition_ms=final.took_ms,
                partial_ms=None if words.first_ms is None else words.first_ms + told.noticed_after_ms,
                provider=final.provider or self._recognizer.provider,
                sentences=told.sentences(final, turn),
                decided_ms=now_ms,
                asked_ms=final.until_ms,
            )
        )

    def _drop_words(self) -> None:
        words, self._words = self._words, None
        if words:
            words.leave()
            self._linger(words)

    def _linger(self, words: TurnWords | StreamedWords) -> None:
        """A stream that nobody waits for ends behind its turn, so that the next one finds it free."""
        if isinstance(words, StreamedWords) and words.lingering:
            self._end_later(words.lingering)

    def _look_after(self) -> None:
        """End turns also when sound stops coming: a muted microphone, a socket that went away."""
        if self._watch:
            self._watch.cancel()
        self._watch = None
        if self._words is None:
            return
        loop = asyncio.get_running_loop()
        silent_ms = int((loop.time() - self._fed_at) * 1000)
        if silent_ms >= self._options.missing_ms:
            self._fed_at = loop.time()
            self._timeline.waited(silent_ms)
            self._pass_silence(silent_ms)
        self._watch = loop.call_later(WATCH_SECONDS, self._look_after)

    def _pass_silence(self, missing_ms: int) -> None:
        """Time without sound ends turns as silence does, and is not worth a detector."""
        self._pending.clear()
        for _ in range(min(missing_ms, LONGEST_GAP_MS) // CHUNK_MS):
            if self._taker.turn is None or (self._release_at_ms is None and not self._taker.turn.voiced_ms):
                break
            self._listen(bytes(CHUNK_BYTES), 0.0)


@dataclass(frozen=True, slots=True)
class _Told:
    """The words of a turn that is over, and where its sound lies on the session's timeline."""

    words: TurnWords | StreamedWords
    origin_ms: int
    noticed_after_ms: int

    def sentences(self, final: Words, turn: Turn) -> tuple[Hypothesis, ...]:
        """Sentences on the session's timeline, within the turn."""

        def placed(ms: int) -> int:
            return min(max(self.origin_ms + ms, turn.start_ms), turn.voice_end_ms)

        return tuple(
            replace(
                each,
                start_ms=placed(each.start_ms),
                end_ms=placed(each.end_ms),
                words=tuple(Segment(placed(w.start_ms), placed(w.end_ms), w.text) for w in each.words),
            )
            for each in final.sentences
        )


def _cut(sound: bytes) -> list[bytes]:
    return [sound[start : start + CHUNK_BYTES] for start in range(0, len(sound), CHUNK_BYTES)]
