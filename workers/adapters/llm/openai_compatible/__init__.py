"""Any server that answers OpenAI's `POST /chat/completions` as a stream."""

from workers.adapters.llm.openai_compatible.model import ChatDialect, OpenAICompatible

__all__ = ["ChatDialect", "OpenAICompatible"]
