"""What every recogniser has to do, whatever protocol its provider speaks.

An adapter enters by a module in `cases/` whose `CASES` hold `SttCase`s; `test_stt.py` tries them all.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from workers.adapters.stt.base import Recognizer

KEY = "sk-conformance-4711"
"""The key that `make` gives its adapter; found in a message or a log, it is a fault."""
SENTENCES = ("Marmalade umbrellas never whistle.", "Purple ladders rarely sneeze.", "Quiet anvils dream.")
"""What the provider hears, a sentence in each second of sound; found in a message or a log, it is a fault."""

WAYS = frozenset(
    {
        "stall",  # answers with a part, then nothing
        "silent",  # takes the request and never answers
        "drop",  # takes the request and hangs up
        "cut",  # answers with a part and hangs up
        "error",  # an error in the answer, in whatever form the protocol has for it
        "garbage",  # what the protocol does not know, in place of an answer
        "401",
        "429",
        "500",
    }
)


@dataclass(frozen=True)
class SttCase:
    """One adapter with one set of options.

    The server is a fake in a thread of its own, strict but for what `misbehave` tells it to do wrong, one
    way for each of the next requests; it has `url`, `requests` (those it took), `open_now` (answers
    under way or open sockets) and `opened` (connections there ever were). `make` gives deadlines of 0.3
    to 0.5 s, so that stalls are judged soon. `deafen` makes the server understand nothing.

    `streaming` adapters hear several sentences, others all as one. `timed` says that recordings get
    times. `language` is what the server finds in a request for `en-US`, None where the protocol has no
    such field; `received` is how many bytes of sound the last request of a stream brought.
    """

    name: str
    server: Callable[[], AbstractContextManager[Any]]
    make: Callable[[Any], Recognizer]
    deafen: Callable[[Any], None]
    streaming: bool
    timed: bool
    language: Callable[[Any], Any] | None = None
    told_language: Any = "en"
    received: Callable[[Any], int] | None = None
    reuses: bool = True
    ways: frozenset[str] = WAYS
