"""Addresses of the API's own document, below /api/."""

from django.urls import path

from project.api import documents

urlpatterns = [
    path("schema/", documents.schema, name="api-schema"),
    path("docs/", documents.docs, name="api-docs"),
]
