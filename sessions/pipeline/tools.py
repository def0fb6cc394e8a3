"""What the model may do besides talking: end the call, hand over to a human, ask the owner's server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import jsonschema
import referencing

from project.errors import ParleyError
from workers.adapters.llm.base import Tool, ToolCall

if TYPE_CHECKING:
    from sessions.pipeline.ports import Desk

_log = logging.getLogger(__name__)

Outcome = Literal["done", "failed", "refused"]
TOOL_SECONDS = 6.0
"""For one tool, whatever it does; asking a server has a shorter deadline of its own."""
MAX_ANSWER_CHARACTERS = 4_000
MAX_REASON_CHARACTERS = 300

_END = Tool("end_call", "End the call. Only when the customer is done, or says goodbye.")
_HANDOVER = Tool(
    "handover",
    "Hand the conversation over to a human colleague: when the customer asks for one, "
    "or when you cannot help.",
    {
        "type": "object",
        "properties": {"reason": {"type": "string", "description": "In a few words, for the colleague"}},
    },
)
_GOODBYES = {
    "en": "Goodbye, and thank you for your call!",
    "ja": "お電話ありがとうございました。失礼いたします。",
    "zh": "感谢您的来电，再见！",  # noqa: RUF001
    "de": "Auf Wiederhören, und vielen Dank für Ihren Anruf!",
    "fr": "Au revoir, et merci de votre appel !",
    "es": "¡Hasta luego, y gracias por su llamada!",
}
_HANDOVERS = {
    "en": "I will get a colleague of mine for you.",
    "ja": "担当の者におつなぎいたします。",
    "zh": "我为您转接人工同事。",
    "de": "Ich hole eine Kollegin oder einen Kollegen für Sie dazu.",
    "fr": "Je vous mets en relation avec un collègue.",
    "es": "Le comunico con un compañero.",
}
_FILLERS = {
    "en": "One moment, please.",
    "ja": "少々お待ちください。",
    "zh": "请稍等。",
    "de": "Einen Moment, bitte.",
    "fr": "Un instant, s'il vous plaît.",
    "es": "Un momento, por favor.",
}


def in_language(texts: Mapping[str, str], language: str) -> str:
    return texts.get(language.partition("-")[0].lower(), texts["en"])


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a call. `told` goes to the model; `say` is spoken where nothing else was.

    `over` says that the answer needs no further word of the model, `ends` that the session ends once it
    was heard.
    """

    outcome: Outcome
    told: str
    say: str = ""
    over: bool = False
    ends: bool = False
    handed_over: str | None = None


@dataclass(slots=True)
class Toolbox:
    """The tools of a session. `told` is an entry of `Persona.tools` by the name the model knows it by."""

    language: str
    desk: Desk
    told: dict[str, Mapping[str, Any]]
    tools: tuple[Tool, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.tools = tuple(_tool(one) for one in self.told.values())

    def filler(self, call: ToolCall) -> str:
        """What is said when a tool takes long."""
        own = str(self.told.get(call.name, {}).get("filler") or "").strip()
        return own or in_language(_FILLERS, self.language)

    async def run(self, call: ToolCall) -> Done:
        """Do what the model asked for. Never raises; what goes wrong is told to the model."""
        told = self.told.get(call.name)
        if told is None:
            return Done("refused", "There is no such tool.")
        if call.broken:
            return Done("refused", "The arguments are no JSON object. Write them again.")
        try:
            async with asyncio.timeout(TOOL_SECONDS):
                return await self._done(told, call)
        except ParleyError as error:
            _log.info("The tool %s failed: %s", call.name, error.code)
        except TimeoutError:
            _log.info("The tool %s took too long", call.name)
        return Done("failed", "This did not work. Tell the customer so, and do not try it again.")

    async def _done(self, told: Mapping[str, Any], call: ToolCall) -> Done:
        own = str(told.get("say") or "").strip()
        if told["type"] == "end_call":
            return Done("done", "", own or in_language(_GOODBYES, self.language), over=True, ends=True)
        if told["type"] == "handover":
            reason = " ".join(str(call.arguments.get("reason") or "").split())[:MAX_REASON_CHARACTERS]
            await self.desk.handover(reason)
            say = own or in_language(_HANDOVERS, self.language)
            return Done("done", "", say, over=True, ends=bool(told.get("end")), handed_over=reason)
        if wrong := misfit(told["parameters"], call.arguments):
            return Done("refused", f"The arguments do not fit: {wrong}")
        answer = await self.desk.call(call.name, told["url"], call.arguments)
        return Done("done", answer[:MAX_ANSWER_CHARACTERS])


def toolbox(told: Iterable[Mapping[str, Any]], desk: Desk | None, language: str) -> Toolbox | None:
    """The tools that a persona has; None without any, or where nobody can serve them."""
    named = {str(one.get("name") or one.get("type")): one for one in told}
    return Toolbox(language, desk, named) if named and desk is not None else None


def _tool(told: Mapping[str, Any]) -> Tool:
    if told["type"] == "end_call":
        return _END
    if told["type"] == "handover":
        return _HANDOVER
    return Tool(told["name"], told.get("description") or "", told["parameters"])


# --- Schemas --------------------------------------------------------------------------------------

_UNCHECKED = frozenset({"pattern", "patternProperties"})
"""Told to the model, and not checked here: an expression of a stranger's could keep the process busy."""


def misfit(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    """What is wrong with arguments; empty where they fit."""
    checker = jsonschema.Draft202012Validator(_checkable(schema), registry=referencing.Registry())
    found = next(iter(checker.iter_errors(dict(arguments))), None)
    if found is None:
        return ""
    place = "/".join(str(part) for part in found.absolute_path)
    return f"{place or 'arguments'}: {found.message}"[:300]


def _checkable(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_checkable(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        name: {key: _checkable(part) for key, part in told.items()}
        if name == "properties" and isinstance(told, Mapping)
        else _checkable(told)
        for name, told in schema.items()
        if name not in _UNCHECKED
    }
