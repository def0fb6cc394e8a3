"""The two ends of a socket: what a session is given to talk to, and what a consumer is given to talk into.

Both may be in this process, or in two with Redis between them; neither side can tell.
"""

from typing import Any, Protocol

from sessions.runtime.events import Event

# --- Why a socket is closed: the codes are part of the contract (docs/sessions.md) ---------
NORMAL = 1000
BAD_MESSAGE = 4400
BAD_TOKEN = 4401
BAD_ORIGIN = 4403
NOT_FOUND = 4404
REPLACED = 4409
ENDED = 4410
TOO_MUCH = 4429
# ... and those after which it is worth coming back; GOING_AWAY: at once, it goes on elsewhere.
GOING_AWAY = 4012
UNAVAILABLE = 4503
HOST_UNREACHABLE = 4504
TOO_SLOW = 4508


class Socket(Protocol):
    """A client's socket, as a session sees it. Neither call waits or fails."""

    def send_event(self, event: Event) -> None: ...

    def close_soon(self, code: int) -> None:
        """Close once everything sent before has left."""


class Link(Protocol):
    """A session, as a consumer sees it. No call waits; what goes wrong comes back as an event."""

    def message(self, kind: str, payload: dict[str, Any]) -> None: ...

    def audio(self, pcm16k: bytes) -> None: ...

    def refuse(self, code: str, detail: str) -> None:
        """Have the client told that what it sent could not be used: numbered like every event."""

    def detach(self) -> None:
        """The socket is gone."""
