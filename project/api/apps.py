"""The manners that every call of the API shares."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "project.api"
    label = "api"
    verbose_name = "API"

    def ready(self) -> None:
        # Its classes register themselves with drf-spectacular, which needs the app registry first.
        from project.api import openapi  # noqa: F401, PLC0415
