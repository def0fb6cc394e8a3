"""The Studio's pages. What they show comes over the public REST API."""

from django.urls import path

from generation.studio import views

app_name = "studio"
urlpatterns = [
    path("", views.home, name="home"),
    path("account/", views.account, name="account"),
    path("models/", views.models, name="models"),
    path("providers/", views.providers, name="providers"),
]
