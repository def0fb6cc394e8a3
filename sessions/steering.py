"""Commands to a running session: checked here, carried out by its host."""

import logging
import time
from typing import Any

from project.errors import Conflict, InvalidInput, ParleyError
from sessions import selectors, services
from sessions.models import EndReason, Session, SessionStatus
from sessions.runtime import commands

# Sound that drives the avatar, or that is recognised as one turn.
MAX_SAY_MS = 10 * 60_000
MAX_ASK_MS = 60_000
# How long a host that was told to end a session may take for it.
PATIENCE_SECONDS = 2.0
LOOK_SECONDS = 0.05

_log = logging.getLogger(__name__)


def say(session: Session, *, text: str = "", upload: str = "") -> dict[str, Any]:
    """Make the avatar say this. Raises `InvalidInput`, `Conflict` or `HostUnreachable`."""
    return _speech(session, "say", text, upload, MAX_SAY_MS)


def ask(session: Session, *, text: str = "", upload: str = "") -> dict[str, Any]:
    """Take this as a turn of the customer's. Raises as `say` does."""
    return _speech(session, "ask", text, upload, MAX_ASK_MS)


def interrupt(session: Session) -> dict[str, Any]:
    selectors.not_ended(session)
    answer = commands.send(session.pk, "interrupt", {})
    return {"turn": answer.get("turn"), "heard_text": answer.get("heard_text") or ""}


def end(session: Session, reason: EndReason = EndReason.API_ENDED) -> None:
    """End a session, in order if its host can be reached, and in any case."""
    if session.status == SessionStatus.ENDED:
        return
    try:
        commands.send(session.pk, "end", {"reason": reason.value})
        _wait_for_end(session.pk)
    except Conflict:
        pass  # nobody holds it: there is nobody to tell
    except ParleyError as error:
        _log.warning("%s is ended without its host: %s", session.pk, error)
    services.session_end(session.pk, reason)


def _wait_for_end(session_id: str) -> None:
    """Let the host finish writing down what was said; it ends the session itself."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if Session.objects.filter(pk=session_id, status=SessionStatus.ENDED).exists():
            return
        time.sleep(LOOK_SECONDS)


def _speech(session: Session, kind: str, text: str, upload: str, longest_ms: int) -> dict[str, Any]:
    payload: dict[str, Any] = {"text": text} if text else {"upload": _sound(session, upload, longest_ms)}
    selectors.not_ended(session)
    return {"turn": commands.send(session.pk, kind, payload)["turn"]}


def _sound(session: Session, upload_id: str, longest_ms: int) -> dict[str, Any]:
    upload = selectors.sound_upload(session.owner_id, upload_id)
    if (upload.duration_ms or 0) > longest_ms:
        detail = f"This may have at most {longest_ms // 1000} seconds."
        raise InvalidInput(detail, code="upload_too_long", pointer="/upload")
    return {"id": upload.pk, "key": upload.pcm_key, "duration_ms": upload.duration_ms}
