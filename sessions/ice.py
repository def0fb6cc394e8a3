"""How peers are reached: the STUN and TURN servers of both sides, from the settings."""

from typing import Any

from django.conf import settings

from rtc.ice import IceConfig


def config() -> IceConfig:
    """Return what a peer of ours is set up with."""
    # coturn looks at the credentials again whenever a relay is refreshed, so they outlast any session.
    longest = (
        settings.LIVE_TOKEN_SECONDS + settings.LIVE_QUEUE_TIMEOUT_SECONDS + settings.LIVE_MAX_DURATION_SECONDS
    )
    return IceConfig(
        stun_urls=tuple(settings.STUN_URLS),
        turn_urls=tuple(settings.TURN_URLS),
        turn_secret=settings.TURN_SECRET,
        ttl=max(settings.TURN_CREDENTIAL_SECONDS, longest),
        announced_address=settings.RTC_ADDRESS,
        ports=settings.RTC_PORTS,
    )


def servers(session_id: str) -> list[dict[str, Any]]:
    """Return the `iceServers` of a client, with credentials that last as long as its session can."""
    return config().servers_for(session_id)
