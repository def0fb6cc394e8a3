"""What every synthesizer has to do, whatever protocol its provider speaks.

An adapter enters by a module in `cases/` whose `CASES` hold `TtsCase`s; `test_tts.py` tries them all.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from workers.adapters.tts.base import SpeechRequest, Synthesizer

KEY = "sk-conformance-4711"
"""The key that `make` gives its adapter; found in a message or a log, it is a fault."""
TEXT = "Marmalade umbrellas never whistle."
"""A text that says itself nowhere else; found in a message or a log, it is a fault."""

WAYS = frozenset(
    {
        "stall",  # sends about half of the sound (so much that an adapter gives some of it), then nothing
        "silent",  # takes the request and never answers
        "drop",  # takes the request and hangs up
        "cut",  # sends about half of the sound and hangs up as if it were done, or without a word
        "error",  # sends an error in place of the rest, in whatever form the protocol has for it
        "garbage",  # sends what the protocol does not know, in place of the sound
        "empty",  # ends properly without any sound
        "401",
        "429",
        "500",
        "odd",  # cuts the sound at odd bytes
        "slow-chunks",  # small pieces with a few ms between them
    }
)


class Service(Protocol):
    """A fake of the provider, in a thread of its own; strict, but for what it is told to do wrong.

    `misbehave` sets what the next requests get, one way each; after those it behaves. `requests` are
    those it took (refused ones may be missing). `open_now` counts the answers under way: requests of
    HTTP that are not answered yet, open sockets of WebSockets. `opened` counts the TCP connections
    there ever were. `sound` is the whole answer as mono s16le at `sample_rate` before any coding.
    """

    url: str
    sound: bytes
    sample_rate: int

    @property
    def requests(self) -> list[Any]: ...

    @property
    def open_now(self) -> int: ...

    @property
    def opened(self) -> int: ...

    def misbehave(self, *ways: str) -> None: ...


@dataclass(frozen=True)
class TtsCase:
    """One adapter with one set of options.

    `make` gives deadlines of 0.3 to 0.5 s, so that stalls are judged soon. `lossless` says that the
    samples arrive as they are, `words` that words get times, `reuses` that a connection serves one
    request after the other. `ways` are the misbehaviours its protocol has. Where `other_rate` is not
    0, the way "other-rate" makes the server answer with `sound` at that rate, and say so.
    """

    name: str
    server: Callable[[], AbstractContextManager[Any]]
    make: Callable[[Any], Synthesizer]
    request: SpeechRequest
    lossless: bool
    words: bool
    reuses: bool = True
    ways: frozenset[str] = WAYS
    other_rate: int = 0
