"""Every address of the service. Each app keeps its own list; this file only says where it hangs."""

from django.contrib import admin
from django.urls import include, path

from project.web.attempts import limited

API = [
    path("", include("project.api.accounts.urls")),
    path("", include("project.webhooks.urls")),
    path("", include("generation.api.urls")),
    path("", include("sessions.api.urls")),
]

urlpatterns = [
    # The admin has a sign-in page of its own, which is no way around the limit.
    path("admin/login/", limited(admin.site.login)),
    path("admin/", admin.site.urls),
    path("api/", include("project.api.urls")),
    path("api/v1/", include(API)),
    path("", include("project.health.urls")),
    path("", include("project.web.urls")),
    path("", include("generation.studio.urls")),
    path("", include("sessions.pages.urls")),
]

handler400 = "project.api.handlers.bad_request"
handler403 = "project.api.handlers.forbidden"
handler404 = "project.api.handlers.not_found"
handler500 = "project.api.handlers.server_error"
