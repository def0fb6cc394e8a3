"""Celery entry points, as thin as views: ids in, one service call, nothing returned."""

from workers.tasks import avatars, clips, live, maintenance, recordings, sessions, webhooks

__all__ = ["avatars", "clips", "live", "maintenance", "recordings", "sessions", "webhooks"]
