"""The events that we tell other servers about."""

EVENTS: dict[str, str] = {
    "clip.succeeded": "A clip's video is ready",
    "clip.failed": "A clip could not be made; `failure` says why",
    "clip.canceled": "A clip was canceled",
    "session.ended": "A live session has ended",
    "session.handover": "The avatar asked for a human; `reason` says why",
    "recording.ready": "The recording of a session can be downloaded",
    "webhook.test": "Sent on request, to try an endpoint out",
}
SUBSCRIBABLE = tuple(name for name in EVENTS if name != "webhook.test")
