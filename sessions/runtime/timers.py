"""When a session is warned and when it ends, decided from moments alone: no clock, no task."""

from dataclasses import dataclass, field
from typing import Literal

Reason = Literal["connect_timeout", "idle_timeout", "max_duration", "disconnected", "queue_timeout"]


@dataclass(frozen=True, slots=True)
class Limits:
    """All in seconds."""

    connect: float
    idle: float
    reconnect: float
    queue: float
    warning: float
    maximum: float


@dataclass(slots=True)
class Timers:
    """Moments of one session on one monotonic clock, in seconds.

    `active_at` may lie before this host took the session on; None while it waits in the queue.
    """

    limits: Limits
    opened_at: float
    active_at: float | None = None
    queued_at: float | None = None
    had_peer: bool = False
    peer_lost_at: float | None = None  # None while connected
    socket_lost_at: float | None = None  # None while there is a socket
    last_activity_at: float = 0.0
    warned: bool = field(default=False)

    def due(self, now: float) -> Reason | None:
        """Return why the session is over, if it is."""
        if self.active_at is None:
            return self._due_in_queue(now)
        if now - self.active_at >= self.limits.maximum:
            return "max_duration"
        if self.peer_lost_at is not None:
            if not self.had_peer:
                since, limit = max(self.active_at, self.opened_at), self.limits.connect
                if now - since >= limit:
                    return "connect_timeout"
            elif now - self.peer_lost_at >= self.limits.reconnect:
                return "disconnected"
        quiet_since = max(self.last_activity_at, self.active_at)
        return "idle_timeout" if now - quiet_since >= self.limits.idle else None

    def _due_in_queue(self, now: float) -> Reason | None:
        if self.queued_at is not None and now - self.queued_at >= self.limits.queue:
            return "queue_timeout"
        lost = self.socket_lost_at
        return "disconnected" if lost is not None and now - lost >= self.limits.reconnect else None

    def ends_in(self, now: float) -> int | None:
        """Return the seconds until the longest duration is reached; None while not yet active."""
        if self.active_at is None:
            return None
        return max(0, round(self.active_at + self.limits.maximum - now))

    def warn(self, now: float) -> bool:
        """Return True once, when the end by duration comes near."""
        left = self.ends_in(now)
        if self.warned or left is None or left > self.limits.warning:
            return False
        self.warned = True
        return True
