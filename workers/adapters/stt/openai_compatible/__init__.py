"""Any provider that answers OpenAI's `POST /audio/transcriptions`, our own sidecar among them."""

from workers.adapters.stt.openai_compatible.recognizer import HearingDialect, OpenAICompatible

__all__ = ["HearingDialect", "OpenAICompatible"]
