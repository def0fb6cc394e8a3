"""Additions to the OpenAPI document that hold for every call."""

import re
from http import HTTPStatus
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

PROBLEM = "Problem"
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. Programs rely on `code`; texts may change.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": ["urn:parley:problem:not_found"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string", "examples": ["not_found"]},
        "request_id": {"type": "string"},
        "limit": {"type": "integer", "description": "With 429: how much is allowed"},
        "used": {"type": "integer", "description": "With 429: how much is used"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON Pointer into the request body"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
# `code`, and what follows it after a colon: "`not_ready`: it is being made"
_CODE = re.compile(r"`([a-z_]+)`(?::([^`,;]*))?")
_EXAMPLES = {
    "400": ("Something sent cannot be used", "invalid", "This field is required."),
    "401": ("No valid API key", "invalid_api_key", "This API key is unknown, expired or revoked."),
    "403": ("Not allowed", "missing_scope", "This API key lacks the scope clips:write."),
    "404": ("No such thing, or not yours", "not_found", "There is no such thing."),
    "409": ("Not in this state", "conflict", "This delivery is still being tried."),
    "422": ("Idempotency key reused", "idempotency_key_reused", "This key was used for another request."),
    "429": ("Too many requests, or an allowance is used up", "rate_limited", "Please wait a moment."),
    "default": ("Any other problem", "internal_error", "Something went wrong on our side."),
}


def add_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Name the problems that each operation may answer with."""
    result.setdefault("components", {}).setdefault("schemas", {})[PROBLEM] = PROBLEM_SCHEMA
    for path, methods in result.get("paths", {}).items():
        for method, operation in methods.items():
            responses = operation["responses"]
            for status, told in responses.items():
                if status[0] in "45" and "content" not in told:
                    told["content"] = _content(status, *_named(told.get("description", "")))
            for status in _statuses(path, method, public={} in operation.get("security", [])):
                responses.setdefault(status, _problem(status))
    return result


def _statuses(path: str, method: str, *, public: bool) -> list[str]:
    found = ["429", "default"] if public else ["401", "403", "429", "default"]
    if "{" in path:
        found.append("404")
    if method in ("post", "put", "patch"):
        found.append("400")
    return found


def _problem(status: str) -> dict[str, Any]:
    description, code, detail = _EXAMPLES[status]
    return {"description": description, "content": _content(status, (code, detail))}


def _named(description: str) -> list[tuple[str, str]]:
    """The codes that a description names, each with what it says about it."""
    return [(code, detail.strip()) for code, detail in _CODE.findall(description)]


def _content(status: str, *problems: tuple[str, str]) -> dict[str, Any]:
    """A problem as a body, with an example for each code."""
    number = 500 if status == "default" else int(status)
    media: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{PROBLEM}"}}
    examples = {
        code: {
            "value": {
                "type": f"urn:parley:problem:{code}",
                "title": HTTPStatus(number).phrase,
                "status": number,
                "detail": detail or code.replace("_", " ").capitalize(),
                "code": code,
            }
        }
        for code, detail in problems
    }
    if examples:
        media["examples"] = examples
    return {"application/problem+json": media}


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "project.accounts.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:  # noqa: ARG002 - its signature
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "parley_<prefix>_<secret>",
            "description": "`Authorization: Bearer parley_...`",
        }


class LoginSessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "project.accounts.authentication.LoginSessionAuthentication"
    name = "loginSession"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:  # noqa: ARG002
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "parley_login",
            "description": "A browser's sign-in; unsafe methods need the X-CSRFToken header as well",
        }
