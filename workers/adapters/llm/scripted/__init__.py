"""The language model of an installation without one: it answers from the persona's knowledge."""

from workers.adapters.llm.scripted.model import Scripted

__all__ = ["Scripted"]
