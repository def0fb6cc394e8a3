"""Composition root and shared ground: settings, accounts, the API's manners, the web shell."""

from project.celery import app as celery_app

__all__ = ["celery_app"]
