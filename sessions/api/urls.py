"""The REST addresses of sessions, recordings and personas."""

from django.urls import path

from sessions.api.documents import DocumentsView, DocumentView, SearchView
from sessions.api.personas import PersonasView, PersonaView
from sessions.api.recordings import RecordingsView, RecordingVideoView, RecordingView
from sessions.api.sessions import LatencyView, SessionsView, SessionView, TranscriptFileView, TranscriptView
from sessions.api.steering import AskView, EndView, InterruptView, SayView

urlpatterns = [
    path("sessions", SessionsView.as_view(), name="sessions"),
    path("sessions/<str:session_id>", SessionView.as_view(), name="session"),
    path("sessions/<str:session_id>/say", SayView.as_view()),
    path("sessions/<str:session_id>/ask", AskView.as_view()),
    path("sessions/<str:session_id>/interrupt", InterruptView.as_view()),
    path("sessions/<str:session_id>/end", EndView.as_view()),
    path("sessions/<str:session_id>/transcript", TranscriptView.as_view()),
    path("sessions/<str:session_id>/latency", LatencyView.as_view()),
    path("sessions/<str:session_id>/transcript.vtt", TranscriptFileView.as_view(), name="session-vtt"),
    path("recordings", RecordingsView.as_view(), name="recordings"),
    path("recordings/<str:recording_id>", RecordingView.as_view(), name="recording"),
    path("recordings/<str:recording_id>/video", RecordingVideoView.as_view(), name="recording-video"),
    path("personas", PersonasView.as_view(), name="personas"),
    path("personas/<str:persona_id>", PersonaView.as_view(), name="persona"),
    path("personas/<str:persona_id>/documents", DocumentsView.as_view(), name="documents"),
    path("personas/<str:persona_id>/documents/<str:document_id>", DocumentView.as_view(), name="document"),
    path("personas/<str:persona_id>/search", SearchView.as_view(), name="persona-search"),
]
