"""The pages of live sessions. Gallery and history are for signed-in people; a call needs its token only."""

from django.urls import path

from sessions.pages import console, views

app_name = "live"
urlpatterns = [
    path("live/", views.gallery, name="gallery"),
    path("live/console/", console.page, name="console"),
    path("live/console/sessions", console.running, name="console-sessions"),
    path("live/console/<str:session_id>/end", console.end, name="console-end"),
    path("live/<str:session_id>", views.call, name="call"),
    path("live/<str:session_id>/", views.call),
    path("live/<str:session_id>/info", views.info, name="info"),
    path("personas/", views.personas, name="personas"),
    path("personas/<str:persona_id>", views.persona, name="persona"),
    path("sessions/", views.history, name="history"),
    path("sessions/<str:session_id>", views.detail, name="detail"),
    path("sessions/<str:session_id>/", views.detail),
    path("sessions/<str:session_id>/latency", views.latency, name="latency"),
    path("sessions/<str:session_id>/latency/", views.latency),
]
