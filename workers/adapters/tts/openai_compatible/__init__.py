"""Any provider that answers OpenAI's `POST /audio/speech`, our own sidecar among them."""

from workers.adapters.tts.openai_compatible.synthesizer import OpenAICompatible, SpeechDialect

__all__ = ["OpenAICompatible", "SpeechDialect"]
