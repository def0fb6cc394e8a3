"""What an API key may be allowed to do. A key's scopes narrow its owner's role, never widen it."""

SCOPES: dict[str, str] = {
    "account:read": "See the account, its allowance, its usage and its API keys",
    "account:write": "Make, rotate and revoke API keys; rotate the callback secret",
    "avatars:read": "List avatars, voices and models",
    "avatars:write": "Create and change avatars (staff accounts)",
    "clips:read": "See clips and download their videos",
    "clips:write": "Upload files, make, cancel and delete clips",
    "sessions:read": "See sessions, transcripts and recordings",
    "sessions:write": "Start, steer and end sessions",
    "webhooks:read": "See webhook endpoints and deliveries",
    "webhooks:write": "Make, change and test webhook endpoints; replay deliveries",
    "admin": "Act on everybody's things (staff accounts)",
}
STAFF_SCOPES = frozenset({"admin"})


def grantable(*, is_staff: bool) -> list[str]:
    """The scopes that a key of such an account may hold."""
    return [scope for scope in SCOPES if is_staff or scope not in STAFF_SCOPES]
