"""The pages of the Studio."""

from django.urls import URLPattern

app_name = "studio"
urlpatterns: list[URLPattern] = []
