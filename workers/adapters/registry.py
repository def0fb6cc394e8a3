"""Models and providers by name. Nothing heavy is imported until it is asked for."""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any, cast

from workers.adapters.avatar.base import Preparer, Renderer
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.cloning.base import Cloner
from workers.adapters.endpoint import Endpoint
from workers.adapters.llm.base import LanguageModel
from workers.adapters.stt.base import Recognizer
from workers.adapters.tts.base import Synthesizer
from workers.adapters.tts.listing import Lister

RENDERERS = {
    "viseme": "workers.adapters.avatar.viseme.renderer:make",
    "mock": "workers.adapters.avatar.mock.renderer:make",
    "wav2lip": "workers.adapters.avatar.wav2lip.renderer:make",
    "musetalk": "workers.adapters.avatar.musetalk.renderer:make",
    "audio2video": "workers.adapters.avatar.remote.audio2video:make",
    "realtime": "workers.adapters.avatar.remote.realtime:make",
    "flashhead_http": "workers.adapters.avatar.flashhead.http:make",
    "flashhead": "workers.adapters.avatar.flashhead.native:make",
    "plugin": "workers.adapters.avatar.plugin:make",
}
PREPARERS = {
    "viseme": "workers.adapters.avatar.viseme.prepare:make",
    "mock": "workers.adapters.avatar.mock.prepare:make",
    "plates": "workers.adapters.avatar.plates.prepare:make",
    "reference": "workers.adapters.avatar.remote.reference:make",
}

SYNTHESIZERS = {
    "openai_compatible": "workers.adapters.tts.openai_compatible.synthesizer:make",
    "edge": "workers.adapters.tts.edge:make",
    "qwen": "workers.adapters.tts.qwen:make",
    "cosyvoice": "workers.adapters.tts.cosyvoice:make",
    "sambert": "workers.adapters.tts.sambert:make",
    "elevenlabs": "workers.adapters.tts.elevenlabs:make",
    "mimo": "workers.adapters.tts.mimo:make",
    "speech_service": "workers.adapters.tts.speech_service:make",
}
RECOGNIZERS = {
    "openai_compatible": "workers.adapters.stt.openai_compatible.recognizer:make",
    "mimo": "workers.adapters.stt.mimo:make",
    "paraformer": "workers.adapters.stt.paraformer:make",
}
LANGUAGE_MODELS = {
    "openai_compatible": "workers.adapters.llm.openai_compatible.model:make",
    "scripted": "workers.adapters.llm.scripted.model:make",
}
EMBEDDERS = {
    "openai_compatible": "workers.adapters.embedding.openai_compatible:make",
}
CLONERS = {
    "dashscope_cosyvoice": "workers.adapters.cloning.dashscope:make_cosyvoice",
    "dashscope_qwen": "workers.adapters.cloning.dashscope:make_qwen",
    "elevenlabs": "workers.adapters.cloning.elevenlabs:make",
    "speech_service": "workers.adapters.cloning.speech_service:make",
}
LISTERS = {
    "edge": "workers.adapters.tts.edge_voices:make",
    "elevenlabs": "workers.adapters.tts.elevenlabs_voices:make",
    "dashscope_clones": "workers.adapters.cloning.dashscope:make_lister",
    "speech_service": "workers.adapters.cloning.speech_service:make_lister",
}


def renderer(config: ModelConfig, runtime: Runtime) -> Renderer:
    """Make a model's renderer; `KeyError` for an adapter nobody registered."""
    return cast("Renderer", resolve_name(RENDERERS[config.adapter])(config, runtime))


def preparer(config: ModelConfig, runtime: Runtime) -> Preparer:
    """Make what prepares avatars for a model; `KeyError` for a name nobody registered."""
    return cast("Preparer", resolve_name(PREPARERS[config.preparer])(config, runtime))


def synthesizer(adapter: str, endpoint: Endpoint, options: Mapping[str, Any]) -> Synthesizer:
    """Make a provider's synthesizer; `options` come from its file in `configs/providers`."""
    return cast("Synthesizer", resolve_name(SYNTHESIZERS[adapter])(endpoint, options))


def recognizer(adapter: str, endpoint: Endpoint, options: Mapping[str, Any]) -> Recognizer:
    """Make a provider's recognizer; `options` come from its file in `configs/providers`."""
    return cast("Recognizer", resolve_name(RECOGNIZERS[adapter])(endpoint, options))


def language_model(adapter: str, endpoint: Endpoint, options: Mapping[str, Any]) -> LanguageModel:
    """Make a language model; `options` are its adapter's own."""
    return cast("LanguageModel", resolve_name(LANGUAGE_MODELS[adapter])(endpoint, options))


def cloner(adapter: str, endpoint: Endpoint, options: Mapping[str, Any]) -> Cloner:
    """Make what copies voices at a provider; `options` come from its file."""
    return cast("Cloner", resolve_name(CLONERS[adapter])(endpoint, options))


def lister(adapter: str, endpoint: Endpoint, options: Mapping[str, Any]) -> Lister:
    """Make what lists a provider's voices; `options` come from its file."""
    return cast("Lister", resolve_name(LISTERS[adapter])(endpoint, options))
