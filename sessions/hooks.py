"""What else happens in the transaction that ends a session; the recording puts itself on this list."""

from collections.abc import Callable

from sessions.models import Session

on_session_ended: list[Callable[[Session], None]] = []


def session_ended(session: Session) -> None:
    for hook in on_session_ended:
        hook(session)
