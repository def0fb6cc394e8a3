from django.urls import path

from generation.avatars.api import AvatarPrepareView, AvatarsView, AvatarView

urlpatterns = [
    path("avatars", AvatarsView.as_view(), name="avatars"),
    path("avatars/<str:avatar_id>", AvatarView.as_view(), name="avatar"),
    path("avatars/<str:avatar_id>/prepare", AvatarPrepareView.as_view(), name="avatar-prepare"),
]
