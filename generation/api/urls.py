"""The REST addresses of avatars, voices, models, uploads and clips."""

from django.urls import include, path, re_path

from generation.api.clips import (
    ClipBatchView,
    ClipCancelView,
    ClipEstimateView,
    ClipFileView,
    ClipsView,
    ClipView,
)
from generation.api.events import clip_events
from generation.api.models import ModelsView
from generation.api.preview import MasterView, PlaylistView, SegmentView
from generation.api.providers import ProvidersView
from generation.api.transcriptions import TranscriptionsView
from generation.api.uploads import UploadsView
from generation.api.voices import VoiceConsentView, VoiceCopiesView, VoicePreviewView, VoicesView, VoiceView

PREVIEW = r"^clips/(?P<clip_id>[^/]+)/preview"
KIND = r"(?P<kind>video|audio)"

urlpatterns = [
    path("", include("generation.avatars.urls")),
    path("models", ModelsView.as_view()),
    path("providers", ProvidersView.as_view()),
    path("voices", VoicesView.as_view()),
    path("voices/consent", VoiceConsentView.as_view()),
    path("voices/copies", VoiceCopiesView.as_view()),
    # Ids of providers' voices may hold anything.
    path("voices/<path:voice_id>/preview", VoicePreviewView.as_view(), name="voice-preview"),
    path("voices/<path:voice_id>", VoiceView.as_view(), name="voice"),
    path("uploads", UploadsView.as_view()),
    path("transcriptions", TranscriptionsView.as_view()),
    path("clips", ClipsView.as_view(), name="clips"),
    path("clips/batch", ClipBatchView.as_view()),
    path("clips/estimate", ClipEstimateView.as_view()),
    path("clips/<str:clip_id>", ClipView.as_view(), name="clip"),
    path("clips/<str:clip_id>/cancel", ClipCancelView.as_view()),
    path("clips/<str:clip_id>/events", clip_events),
    path("clips/<str:clip_id>/video", ClipFileView.as_view(kind="video"), name="clip-video"),
    path("clips/<str:clip_id>/poster", ClipFileView.as_view(kind="poster")),
    path("clips/<str:clip_id>/captions.srt", ClipFileView.as_view(kind="srt")),
    path("clips/<str:clip_id>/captions.vtt", ClipFileView.as_view(kind="vtt")),
    re_path(PREVIEW + r"\.m3u8$", MasterView.as_view(), name="clip-preview"),
    re_path(PREVIEW + rf"/{KIND}\.m3u8$", PlaylistView.as_view()),
    re_path(PREVIEW + rf"/{KIND}/init\.mp4$", SegmentView.as_view()),
    re_path(PREVIEW + rf"/{KIND}/(?P<index>\d{{1,6}})\.m4s$", SegmentView.as_view()),
]
