"""Live sessions. The label `sessions` belongs to Django, so this app's label is `live`."""

from django.apps import AppConfig

from project.metrics import page


class SessionsConfig(AppConfig):
    name = "sessions"
    label = "live"
    verbose_name = "Live sessions"

    def ready(self) -> None:
        from sessions import figures, hooks  # noqa: PLC0415 - models are there only now
        from sessions.recording import services  # noqa: PLC0415 - as above

        hooks.on_session_ended.append(services.session_ended)
        page.SERVICE.append(figures.unfinished)
