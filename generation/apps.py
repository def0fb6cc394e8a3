"""The catalogue of avatars, and clips."""

from pathlib import Path

from django.apps import AppConfig
from django.conf import settings

from workers.adapters import catalogue


class GenerationConfig(AppConfig):
    name = "generation"
    verbose_name = "Avatars and clips"

    def ready(self) -> None:
        catalogue.use(Path(settings.PROVIDERS_DIR) if settings.PROVIDERS_DIR else None)
