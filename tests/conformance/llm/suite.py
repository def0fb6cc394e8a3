"""What every language model has to do, whatever server answers.

The cases are the files of `configs/providers` that name a language model, each against a server of its
kind; a file without a kind of its own is tried against `openai`.
"""

from dataclasses import dataclass
from typing import Any

from tests.support.chat_server import Chat
from workers.adapters import catalogue, registry
from workers.adapters.endpoint import Endpoint
from workers.adapters.llm.base import LanguageModel

KEY = "sk-conformance-0815"
"""The key that `make` gives its adapter; found in a message or a log, it is a fault."""
TEXT = "Marmalade umbrellas never whistle."
"""A text that says itself nowhere else; found in a message or a log, it is a fault."""
KINDS = {"ollama": "ollama", "vllm": "vllm", "dashscope": "dashscope", "llm": "template"}
SECONDS = 0.8


@dataclass(frozen=True)
class LlmCase:
    """One provider's file and the kind of its server. `changes` are put over the file's options."""

    name: str
    kind: str
    options: tuple[tuple[str, Any], ...]

    def make(self, chat: Chat, key: str = KEY) -> LanguageModel:
        options = dict(self.options)
        adapter = options.pop("adapter")
        options |= {"provider": self.name, "model": options.get("model") or "tiny"}
        options |= {"first_token": SECONDS, "between_tokens": SECONDS, "connect": SECONDS}
        return registry.language_model(adapter, Endpoint(f"{chat.url}/v1", key), options)

    @property
    def counts(self) -> bool:
        return bool(dict(self.options).get("usage"))


CASES = [
    LlmCase(found.id, KINDS.get(found.id, "openai"), tuple(found.language_model.items()))
    for found in catalogue.providers().values()
    if found.language_model
]
