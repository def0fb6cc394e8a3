"""What a session tells its client: numbered, kept for those who come back, mirrored for the next host."""

import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

Event = dict[str, Any]

KEPT = 1000
# Answers to one socket: they use a number like any event, and mean nothing to the next socket.
PASSING = frozenset({"rtc.answer", "pong"})
# Added to the number in the row when the mirror was lost: more than may have been told since.
LOST_MIRROR_GAP = 1000


class EventLog:
    """The events of one session. `seq` grows by one with each; `at_ms` is the session's timeline.

    `mirror` is called with each event that another host would need; it must not wait.
    """

    def __init__(
        self,
        *,
        at_ms: Callable[[], int],
        mirror: Callable[[int, bytes], None] | None = None,
        seq: int = 0,
        kept: Iterable[Event] = (),
    ) -> None:
        self._at_ms = at_ms
        self._mirror = mirror
        self._kept: deque[Event] = deque(kept, maxlen=KEPT)
        self.seq = max(seq, self._kept[-1]["seq"] if self._kept else 0)

    def add(self, event: Event) -> Event:
        """Number an event and keep it; return it as it is sent."""
        told = {"type": event["type"], "seq": self.seq + 1, "at_ms": self._at_ms(), **event}
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        try:
            data = text.encode()
        except UnicodeEncodeError:  # half a character, from a provider that cuts its text anywhere
            data = text.encode(errors="replace")
            told = json.loads(data)
        self.seq += 1
        if event["type"] not in PASSING:
            self._kept.append(told)
            if self._mirror is not None:
                self._mirror(self.seq, data)
        return told

    def reach(self, seq: int) -> None:
        """Go on after a number that a client has seen: no number may come twice.

        One later than ours comes from a host that died before it was mirrored.
        """
        if self.seq < seq <= self.seq + LOST_MIRROR_GAP:
            self.seq = seq

    def since(self, seq: int) -> list[Event]:
        """Return what is still kept of everything after `seq`, oldest first."""
        return [event for event in self._kept if event["seq"] > seq]


def stream_key(session_id: str) -> str:
    """The Redis stream that mirrors a session's events; an entry's id is `<seq>-0`."""
    return f"live:events:{session_id}"


def continued(mirrored: list[Event], stored_seq: int) -> int:
    """Return the number at which a new host goes on, so that no number is ever used twice."""
    if mirrored:
        return max(int(mirrored[-1]["seq"]), stored_seq)
    return stored_seq + LOST_MIRROR_GAP if stored_seq else 0
