"""The registry of all instruments. Where their numbers are kept is decided here, before any is made."""

from django.conf import settings
from prometheus_client import CollectorRegistry

from project.metrics.values import use_folder

folder = use_folder(settings.METRICS_DIR) if settings.METRICS_DIR else None
registry = CollectorRegistry()
