"""Celery entry points, as thin as views: ids in, one service call, nothing returned."""

from workers.tasks import avatars, clips, documents, live, maintenance, recordings, sessions, voices, webhooks

__all__ = [
    "avatars",
    "clips",
    "documents",
    "live",
    "maintenance",
    "recordings",
    "sessions",
    "voices",
    "webhooks",
]
