"""The providers of this installation: their accounts, and who serves in which order."""

from generation.providers.accounts import Kind, configured, endpoint
from generation.providers.chains import asked, embedder, language_model, recognizer, synthesizer

__all__ = [
    "Kind",
    "asked",
    "configured",
    "embedder",
    "endpoint",
    "language_model",
    "recognizer",
    "synthesizer",
]
