"""The pages' common parts: base templates and static design."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "project.web"
    label = "web"
    verbose_name = "Pages"
