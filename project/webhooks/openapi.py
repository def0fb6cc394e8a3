"""The `webhooks` section of the OpenAPI document."""

from typing import Any

from project.webhooks.events import EVENTS

MESSAGE = "EventMessage"
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Small, signed after Standard Webhooks, and possibly sent more than once.",
    "required": ["type", "timestamp", "data"],
    "properties": {
        "type": {"type": "string", "enum": list(EVENTS)},
        "timestamp": {
            "type": "string",
            "format": "date-time",
            "description": "When it happened, not when it was sent",
        },
        "data": {
            "type": "object",
            "additionalProperties": True,
            "description": "What it happened to, as its GET shows it; links expire, so fetch it anew",
        },
    },
}
_HEADERS = {
    "webhook-id": "The same on every attempt: tell repeats by it",
    "webhook-timestamp": "Unix seconds of this attempt",
    "webhook-signature": "`v1,<base64 HMAC-SHA256>` of `id.timestamp.body`; two of them during a rotation",
}


def add_webhooks(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    result.setdefault("components", {}).setdefault("schemas", {})[MESSAGE] = _SCHEMA
    result["webhooks"] = {name: {"post": _operation(name, meaning)} for name, meaning in EVENTS.items()}
    return result


def _operation(name: str, meaning: str) -> dict[str, Any]:
    parameters = [
        {"name": header, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for header, text in _HEADERS.items()
    ]
    return {
        "operationId": f"on_{name.replace('.', '_')}",
        "summary": meaning,
        "tags": ["webhooks"],
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{MESSAGE}"}}},
        },
        "responses": {
            "2XX": {"description": "Received. Answer within 15 seconds."},
            "410": {"description": "Never send anything here again: the endpoint is switched off."},
        },
    }
