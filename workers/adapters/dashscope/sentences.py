"""What Paraformer heard: sentences that grow, end, and may be told twice."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from workers.adapters.stt.base import Hypothesis, Segment, joined
from workers.adapters.text import clean


class Sentences:
    """Turns results into hypotheses: partial ones share their beginning, a final one comes once.

    `moment` leads a time of the service, in ms, to one of the sound that was given.
    """

    def __init__(self, provider: str, moment: Callable[[float], int]) -> None:
        self._provider, self._moment = provider, moment
        self._ended: set[float] = set()
        self._open: Hypothesis | None = None

    def take(self, payload: Mapping[str, Any]) -> Iterator[Hypothesis]:
        """What one result says; nothing for heartbeats and for sentences that ended before."""
        sentence = _mapping(_mapping(payload.get("output")).get("sentence"))
        begin = sentence.get("begin_time")
        if sentence.get("heartbeat") or not isinstance(begin, int | float) or begin in self._ended:
            return
        # Whether there is an end_time says nothing: the service sends finals without one.
        final = bool(sentence.get("sentence_end"))
        made = self._hypothesis(sentence, begin, final=final)
        if final:
            self._ended.add(begin)
        if made.text or self._open is not None:
            self._open = None if final else made
            yield made

    def rest(self) -> Iterator[Hypothesis]:
        """The sentence that the end of the sound left open."""
        left, self._open = self._open, None
        if left is not None:
            yield Hypothesis(
                left.text, True, left.start_ms, left.end_ms, words=left.words, provider=left.provider
            )

    def _hypothesis(self, sentence: Mapping[str, Any], begin: float, *, final: bool) -> Hypothesis:
        words = tuple(self._words(sentence.get("words")))
        start_ms = self._open.start_ms if self._open is not None else self._moment(begin)
        end = sentence.get("end_time")
        last_ms = words[-1].end_ms if words else start_ms
        end_ms = self._moment(end) if isinstance(end, int | float) else last_ms
        text = clean(str(sentence.get("text") or "")).strip()
        if not text:
            text = joined(word.text for word in words)
        return Hypothesis(text, final, start_ms, max(start_ms, end_ms), words=words, provider=self._provider)

    def _words(self, told: Any) -> Iterator[Segment]:
        for word in told if isinstance(told, list) else ():
            text, begin, end = (_mapping(word).get(name) for name in ("text", "begin_time", "end_time"))
            if text and isinstance(begin, int | float) and isinstance(end, int | float):
                mark = str(_mapping(word).get("punctuation") or "")
                start_ms = self._moment(begin)
                said = clean(f"{text}{mark}").strip()
                yield Segment(start_ms, max(start_ms, self._moment(end)), said)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
