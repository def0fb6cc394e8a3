"""The catalogue of avatars, and clips."""

from pathlib import Path

from django.apps import AppConfig
from django.conf import settings

from project.metrics import page
from project.metrics.publishing import SOURCES
from workers import profiles
from workers.adapters import catalogue, health
from workers.adapters.tts import voice_assets


class GenerationConfig(AppConfig):
    name = "generation"
    verbose_name = "Avatars and clips"

    def ready(self) -> None:
        from generation import figures  # noqa: PLC0415 - models are loaded only now
        from generation.providers import publishing  # noqa: PLC0415 - as above

        page.SERVICE.extend((figures.queues, figures.unfinished))
        SOURCES.append(publishing.say)
        health.TOLD.append(publishing.count)
        voice_assets.use(settings.SPEECH_ASSETS_DIR, settings.SPEECH_ASSETS_SERVICE_DIR)
        profiles.configs()  # nonsense in a model's file or settings is said at start
        catalogue.use(Path(settings.PROVIDERS_DIR) if settings.PROVIDERS_DIR else None)
