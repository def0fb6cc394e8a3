"""Pages that every part of the site shares: the frame, signing in, errors."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "project.web"
    label = "web"
