"""Secrets that sign our webhooks, in the form of the Standard Webhooks specification.

They are derived from the service's own key, from whose secret it is, and from a version number
that grows with each rotation. So nothing secret lies in the database, and nothing can be read out
of a stolen copy of it. Whoever changes SECRET_KEY changes every one of these secrets.
"""

import base64
import hashlib
import hmac
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

ROTATION_OVERLAP = timedelta(hours=24)  # both secrets sign for so long


def secret(subject: str, version: int) -> str:
    """The `whsec_` secret number `version` of an endpoint's or an account's id."""
    text = f"parley webhook secret\n{subject}\n{version}".encode()
    key = hmac.new(settings.SECRET_KEY.encode(), text, hashlib.sha256).digest()
    return "whsec_" + base64.b64encode(key).decode()


def secrets_in_force(subject: str, version: int, rotated_at: datetime | None) -> list[str]:
    """The current secret, and the one before it while the rotation is fresh."""
    versions = [version]
    if version > 1 and rotated_at is not None and timezone.now() - rotated_at < ROTATION_OVERLAP:
        versions.append(version - 1)
    return [secret(subject, number) for number in versions]


def signature(secret_text: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """One `v1,<base64>` entry of the webhook-signature header."""
    key = base64.b64decode(secret_text.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()
