"""REST addresses of accounts, below /api/v1/."""

from django.urls import path

from project.api.accounts import views

urlpatterns = [
    path("me", views.MeView.as_view(), name="me"),
    path("me/rotate-callback-secret", views.CallbackSecretView.as_view(), name="rotate-callback-secret"),
    path("api-keys", views.ApiKeysView.as_view(), name="api-keys"),
    path("api-keys/<str:key_id>", views.ApiKeyView.as_view(), name="api-key"),
    path("api-keys/<str:key_id>/rotate", views.ApiKeyRotateView.as_view(), name="api-key-rotate"),
]
