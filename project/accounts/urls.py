"""REST addresses of accounts, below /api/v1/."""

from django.urls import path

from project.accounts import api

urlpatterns = [
    path("me", api.MeView.as_view(), name="me"),
    path("me/rotate-callback-secret", api.CallbackSecretView.as_view(), name="rotate-callback-secret"),
    path("api-keys", api.ApiKeysView.as_view(), name="api-keys"),
    path("api-keys/<str:key_id>", api.ApiKeyView.as_view(), name="api-key"),
    path("api-keys/<str:key_id>/rotate", api.ApiKeyRotateView.as_view(), name="api-key-rotate"),
]
