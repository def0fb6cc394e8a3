"""Signing in and out, and the password."""

from django.urls import path

from project.web import views
from project.web.attempts import limited

app_name = "web"
urlpatterns = [
    path("login/", limited(views.SignIn.as_view()), name="login"),
    path("logout/", views.SignOut.as_view(), name="logout"),
    path("account/password/", views.ChangePassword.as_view(), name="password"),
    path("favicon.ico", views.favicon, name="favicon"),
]
