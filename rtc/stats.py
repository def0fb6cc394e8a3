"""What a peer's connection is like, and whether it can carry the full picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Level = Literal["normal", "low"]

LOSSY = 0.10  # part of packets lost, above which the picture must shrink
CLEAN = 0.02
LOSSY_REPORTS = 2  # in a row, so that a single burst changes nothing
# In a row. An estimate that grows says nothing of a narrow path: browsers begin with anything between
# a tenth of what they get and twenty times as much, and approach the truth by 8% a second.
STARVED_SECONDS = 4
GROWING = 1.01
# The estimate must be this much over what the full picture needs, or over what we send: a receiver
# never estimates more than half as much again as it gets.
HEADROOM = 1.25
PATIENCE_SECONDS = 15.0
MAX_PATIENCE_SECONDS = 120.0
RELAPSE_SECONDS = 20.0
SETTLE_SECONDS = 5.0  # after growing, until a receiver's estimate has grown as well


@dataclass(frozen=True, slots=True)
class PeerStats:
    """A moment's figures. None: not known yet.

    `loss` is the part of video packets lost in the last report (0..1), `bandwidth_bps` the
    receiver's estimate (REMB). `av_offset_ms` is how far the sound that was sent last lies behind
    the picture that was sent last, in media time. `transcoding` marks a client without H.264.
    `path` is the kind of the client's address: host, srflx, prflx or relay.
    """

    rtt_ms: float | None
    loss: float
    bandwidth_bps: int | None
    packets_sent: int
    bytes_sent: int
    packets_resent: int
    av_offset_ms: float
    codec: str
    transcoding: bool
    jitter_ms: float
    microphone_packets: int
    microphone_lost: int
    level: Level
    path: str


class Quality:
    """Decides between the full and the lower picture, slowly up and quickly down.

    Down: loss above 10% in two reports in a row, or for four seconds an estimate that is below what
    we send and does not grow. Up again after a clean while with enough headroom; each time that
    turns out wrong, the next while is twice as long.
    """

    def __init__(self, changed: Callable[[Level], None], now: Callable[[], float]) -> None:
        self.level: Level = "normal"
        self.loss = 0.0
        self.estimate_bps: int | None = None
        self._changed = changed
        self._now = now
        self._lossy = 0
        self._starved = 0
        self._judged_bps: int | None = None
        self._clean_since: float | None = None
        self._raised_at: float | None = None
        self._patience = PATIENCE_SECONDS
        self._full_bps = 0

    def sent(self, bits_per_second: int) -> None:
        """What video took in the last second."""
        if self.level == "normal":
            # Peaks count: the full picture must fit when the mouth moves.
            self._full_bps = max(bits_per_second, int(self._full_bps * 0.95))
        self._judge(bits_per_second)

    def estimated(self, bits_per_second: int) -> None:
        """What the receiver thinks the path carries (REMB)."""
        self.estimate_bps = bits_per_second

    def reported(self, fraction_lost: float) -> None:
        """What part of our packets the receiver lost since its last report."""
        self.loss = fraction_lost
        self._lossy = self._lossy + 1 if fraction_lost > LOSSY else 0

    def _judge(self, bits_per_second: int) -> None:
        self._count_starved(bits_per_second)
        if self.level == "normal":
            starved = self._starved >= STARVED_SECONDS and not self._raised_within(SETTLE_SECONDS)
            if starved or self._lossy >= LOSSY_REPORTS:
                self._lower()
        elif self._is_clean(bits_per_second):
            since = self._clean_since = self._clean_since or self._now()
            if self._now() - since >= self._patience:
                self._raise()
        else:
            self._clean_since = None

    def _count_starved(self, bits_per_second: int) -> None:
        before, self._judged_bps = self._judged_bps, self.estimate_bps
        if self.estimate_bps is None or self.estimate_bps >= bits_per_second:
            self._starved = 0
        elif before is not None and self.estimate_bps < GROWING * before:
            self._starved += 1
        else:
            self._starved = 0

    def _is_clean(self, bits_per_second: int) -> bool:
        needed = HEADROOM * min(bits_per_second, self._full_bps)
        return self.loss < CLEAN and (self.estimate_bps is None or self.estimate_bps > needed)

    def _lower(self) -> None:
        relapse = self._raised_within(RELAPSE_SECONDS)
        self._patience = min(2 * self._patience, MAX_PATIENCE_SECONDS) if relapse else PATIENCE_SECONDS
        self._clean_since, self._lossy, self._starved = None, 0, 0
        self._set("low")

    def _raised_within(self, seconds: float) -> bool:
        return self._raised_at is not None and self._now() - self._raised_at < seconds

    def _raise(self) -> None:
        self._raised_at = self._now()
        self._set("normal")

    def _set(self, level: Level) -> None:
        self.level = level
        self._changed(level)
