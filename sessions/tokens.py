"""Client tokens: what a customer's page holds instead of an API key.

A token opens one session, has to be used before `token_expires_at`, and then lives until the session
ends. It is derived from the service's own key and the session's id (74 of whose bits are random), so
that a repeated request can be answered with the same one while the database holds its hash alone.
"""

import base64
import hashlib
import hmac

from django.conf import settings

from sessions.models import Session

_NOBODY = hashlib.sha256(b"").hexdigest()


def make(session_id: str) -> str:
    """Return the token of a session: 43 characters that need no escaping in an address."""
    text = f"parley client token\n{session_id}".encode()
    raw = hmac.new(settings.SECRET_KEY.encode(), text, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def digest(token: str) -> str:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def opens(token: str, session: Session | None) -> bool:
    """Say whether this is the session's token; takes as long for a session that does not exist."""
    stored = session.token_hash if session is not None else _NOBODY
    return hmac.compare_digest(digest(token), stored) and session is not None
