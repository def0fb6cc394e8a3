"""What a persona may do and what it leaves alone, checked before it is kept.

An entry of `Persona.tools` is one of

    {"type": "end_call", "say"}
    {"type": "handover", "say", "end"}
    {"type": "webhook", "name", "description", "url", "parameters", "filler"}

one of `Persona.topics` is `{"name", "phrases", "answer", "action": "refuse" | "end"}`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema

from project.api.net import check_url
from project.errors import InvalidInput

MAX_TOOLS, MAX_TOPICS, MAX_PHRASES = 10, 20, 50
MAX_SCHEMA_BYTES, MAX_DEPTH = 8_000, 12
MAX_TEXT, MAX_DESCRIPTION, MAX_PHRASE = 500, 1_000, 80
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,47}")
EMPTY_SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}

_OURS = ("end_call", "handover")
_FIELDS = {
    "end_call": frozenset({"type", "say"}),
    "handover": frozenset({"type", "say", "end"}),
    "webhook": frozenset({"type", "name", "description", "url", "parameters", "filler"}),
}
_TOPIC_FIELDS = frozenset({"name", "phrases", "answer", "action"})
# Followed, a reference would lead to other servers, or in a circle.
_NO_KEYWORDS = frozenset({"$ref", "$dynamicRef", "$recursiveRef", "$id", "$schema"})


def checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with `tools` and `topics` as they are kept. Raises `InvalidInput` with a pointer.

    Resolves the names of addresses, so keep it out of transactions.
    """
    told = dict(fields)
    if "tools" in told:
        told["tools"] = tools(told["tools"])
    if "topics" in told:
        told["topics"] = topics(told["topics"])
    return told


def tools(told: Any) -> list[dict[str, Any]]:
    made = [_tool(one, f"/tools/{at}") for at, one in enumerate(_listed(told, "/tools", MAX_TOOLS))]
    names: set[str] = set()
    for at, one in enumerate(made):
        name = str(one.get("name") or one["type"])
        if name in names:
            raise _bad(f"/tools/{at}", "tool_twice", f"There are two tools {name!r}.")
        names.add(name)
    return made


def topics(told: Any) -> list[dict[str, Any]]:
    return [_topic(one, f"/topics/{at}") for at, one in enumerate(_listed(told, "/topics", MAX_TOPICS))]


def _tool(told: Any, at: str) -> dict[str, Any]:
    kind = told.get("type") if isinstance(told, Mapping) else None
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise _bad(f"{at}/type", "tool_unknown", f"A tool is one of {', '.join(_FIELDS)}.")
    _only(told, _FIELDS[kind], at)
    if kind == "webhook":
        return _webhook(told, at)
    made: dict[str, Any] = {"type": kind, "say": _text(told, "say", at, MAX_TEXT)}
    if kind == "handover":
        made["end"] = _flag(told, "end", at)
    return made


def _webhook(told: Mapping[str, Any], at: str) -> dict[str, Any]:
    name = _text(told, "name", at, 48)
    if not NAME.fullmatch(name) or name in _OURS:
        detail = "A name has letters, digits and underscores, begins with a letter, and is not one of ours."
        raise _bad(f"{at}/name", "invalid_tool_name", detail)
    description = _text(told, "description", at, MAX_DESCRIPTION)
    if not description:
        raise _bad(f"{at}/description", "required", "The model has to know what the tool is for.")
    return {
        "type": "webhook",
        "name": name,
        "description": description,
        "url": check_url(_text(told, "url", at, 2_000), pointer=f"{at}/url"),
        "parameters": _schema(told.get("parameters", EMPTY_SCHEMA), f"{at}/parameters"),
        "filler": _text(told, "filler", at, MAX_TEXT),
    }


def _schema(told: Any, at: str) -> dict[str, Any]:
    if not isinstance(told, Mapping) or told.get("type") != "object":
        raise _bad(at, "invalid_schema", 'Parameters are a JSON schema with "type": "object".')
    if _depth(told) > MAX_DEPTH or len(json.dumps(told)) > MAX_SCHEMA_BYTES:
        detail = f"A schema has at most {MAX_SCHEMA_BYTES} bytes and {MAX_DEPTH} levels."
        raise _bad(at, "schema_too_large", detail)
    if keyword := _found(told):
        raise _bad(at, "invalid_schema", f"{keyword} is not taken in a schema.")
    try:
        jsonschema.Draft202012Validator.check_schema(dict(told))
    except jsonschema.SchemaError as error:
        place = "".join(f"/{part}" for part in error.absolute_path)
        raise _bad(at + place, "invalid_schema", f"This is no JSON schema: {error.message[:200]}") from error
    return dict(told)


def _depth(told: Any, level: int = 0) -> int:
    """How deep it is nested, counted only as far as matters."""
    if level > MAX_DEPTH or not isinstance(told, Mapping | list):
        return level
    parts = told.values() if isinstance(told, Mapping) else told
    return max((_depth(part, level + 1) for part in parts), default=level)


def _found(told: Any) -> str:
    """A keyword that is not taken; what stands in `properties` are names."""
    if isinstance(told, list):
        return next((found for part in told if (found := _found(part))), "")
    if not isinstance(told, Mapping):
        return ""
    if keyword := next((name for name in told if name in _NO_KEYWORDS), ""):
        return str(keyword)
    for name, part in told.items():
        named = name == "properties" and isinstance(part, Mapping)
        found = _found(list(part.values()) if named else part)
        if found:
            return found
    return ""


def _topic(told: Any, at: str) -> dict[str, Any]:
    if not isinstance(told, Mapping):
        raise _bad(at, "invalid", "A topic is an object.")
    _only(told, _TOPIC_FIELDS, at)
    action = told.get("action", "refuse")
    if action not in ("refuse", "end"):
        raise _bad(f"{at}/action", "invalid_choice", "An action is refuse or end.")
    name = _text(told, "name", at, 80)
    if not name:
        raise _bad(f"{at}/name", "required", "A topic needs a name.")
    found = _listed(told.get("phrases", []), f"{at}/phrases", MAX_PHRASES)
    phrases = [_phrase(one, f"{at}/phrases/{number}") for number, one in enumerate(found)]
    return {
        "name": name,
        "phrases": list(dict.fromkeys(phrases)),
        "answer": _text(told, "answer", at, MAX_TEXT),
        "action": action,
    }


def _phrase(told: Any, at: str) -> str:
    text = " ".join(told.split()) if isinstance(told, str) else ""
    if not any(character.isalnum() for character in text) or len(text) > MAX_PHRASE:
        raise _bad(at, "invalid_phrase", f"A phrase is of words, and has at most {MAX_PHRASE} characters.")
    return text


def _text(told: Mapping[str, Any], name: str, at: str, longest: int) -> str:
    value = told.get(name) or ""
    if not isinstance(value, str) or "\0" in value:
        raise _bad(f"{at}/{name}", "invalid", f"{name} is no text.")
    if len(value) > longest:
        raise _bad(f"{at}/{name}", "max_length", f"{name} has at most {longest} characters.")
    return value.strip()


def _flag(told: Mapping[str, Any], name: str, at: str) -> bool:
    value = told.get(name, False)
    if not isinstance(value, bool):
        raise _bad(f"{at}/{name}", "invalid", f"{name} is neither true nor false.")
    return value


def _listed(told: Any, at: str, most: int) -> Sequence[Any]:
    if not isinstance(told, list):
        raise _bad(at, "not_a_list", "Give a list.")
    if len(told) > most:
        raise _bad(at, "max_length", f"At most {most} are taken.")
    return told


def _only(told: Mapping[str, Any], fields: frozenset[str], at: str) -> None:
    if unknown := sorted(str(name) for name in set(told) - fields):
        raise _bad(f"{at}/{unknown[0]}", "unknown_field", f"There is no field {unknown[0][:60]!r} here.")


def _bad(at: str, code: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, code=code, pointer=at)
