"""Signed messages to the servers of our customers."""

from django.apps import AppConfig

from project.metrics import page


class WebhooksConfig(AppConfig):
    name = "project.webhooks"
    label = "webhooks"
    verbose_name = "Webhooks"

    def ready(self) -> None:
        from project.webhooks import figures  # noqa: PLC0415 - models are there only now

        page.SERVICE.append(figures.waiting)
