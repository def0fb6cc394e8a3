"""The REST addresses of avatars, voices, models, uploads and clips."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
