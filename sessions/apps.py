"""Live sessions. The label `sessions` belongs to Django, so this app's label is `live`."""

from django.apps import AppConfig


class SessionsConfig(AppConfig):
    name = "sessions"
    label = "live"
    verbose_name = "Live sessions"
