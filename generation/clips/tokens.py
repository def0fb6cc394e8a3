"""Tokens in the address of a preview: players cannot send an Authorization header.

A token opens one clip's preview, for reading, until it lapses.
"""

import time

from django.core import signing

SALT = "clip-preview"
STEP_SECONDS = 3600
LIFE_STEPS = 6


def preview(clip_id: str) -> str:
    """Return a token for this clip; the same one for an hour, so that players keep their address."""
    step = int(time.time()) // STEP_SECONDS
    return signing.Signer(salt=SALT).sign_object([clip_id, step])


def opens_preview(token: str, clip_id: str) -> bool:
    """Say whether this token opens the preview of this clip now."""
    try:
        value = signing.Signer(salt=SALT).unsign_object(token)
    except (signing.BadSignature, ValueError):
        return False
    if not isinstance(value, list) or len(value) != 2 or value[0] != clip_id:
        return False
    return 0 <= int(time.time()) // STEP_SECONDS - int(value[1]) <= LIFE_STEPS
