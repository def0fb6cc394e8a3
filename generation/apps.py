"""The catalogue of avatars, and clips."""

from django.apps import AppConfig


class GenerationConfig(AppConfig):
    name = "generation"
    verbose_name = "Avatars and clips"
