"""The OpenAPI description of what is no REST framework view: server-sent events."""

from typing import Any

PATH = "/api/v1/clips/{clip_id}/events"
_TEXT = """`clip.progress` while it is made, then `clip.succeeded`, `clip.failed` or `clip.canceled`, each
with the clip as its data. The id of an event is the clip's revision; `Last-Event-ID` goes on from there."""


def add_events(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Describe the stream of a clip; a hook of drf-spectacular."""
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    result["paths"][PATH] = {
        "get": {
            "operationId": "clips_events",
            "summary": "Follow a clip (server-sent events)",
            "description": _TEXT,
            "tags": ["clips"],
            "security": [{"apiKey": []}, {"loginSession": []}],
            "parameters": [
                {"in": "path", "name": "clip_id", "required": True, "schema": {"type": "string"}},
                {"in": "header", "name": "Last-Event-ID", "schema": {"type": "integer"}},
            ],
            "responses": {
                "200": {"description": "Events until the clip has ended", "content": stream},
                "204": {"description": "You have been told how it ended"},
                "404": {"description": "There is no such clip"},
            },
        }
    }
    return result
