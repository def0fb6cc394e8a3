"""Clips: one batch job each, its utterances and its fragments."""

from functools import partial

from django.conf import settings
from django.db import models
from django.db.models import Q

from generation.avatars.models import Avatar
from generation.uploads.models import Upload
from project.ids import new_id


class ClipStatus(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class ClipStage(models.TextChoices):
    SPEECH = "speech"
    RENDERING = "rendering"
    ASSEMBLING = "assembling"


class Clip(models.Model):
    """A script (or sound) and an avatar on their way to a video.

    The row is the truth; messages carry its id only. Speech and assembly are each taken under a
    lease with a fencing token; fragments have leases of their own.
    """

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "clip"), editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="clips")
    # -- what was asked for
    avatar = models.ForeignKey(Avatar, on_delete=models.PROTECT, related_name="clips")
    avatar_version = models.PositiveIntegerField()
    bundle_key = models.CharField(max_length=200)
    bundle_sha256 = models.CharField(max_length=64, blank=True)
    # What the model's preparation looks like: {"width", "height", "face": [l, t, r, b] | null, "preview_key"}
    picture = models.JSONField(default=dict)
    voice = models.CharField(max_length=120, blank=True)
    model = models.CharField(max_length=40, default="viseme")
    script = models.TextField(blank=True)
    upload = models.ForeignKey(Upload, on_delete=models.SET_NULL, null=True, related_name="+")
    audio_url = models.URLField(max_length=2000, blank=True)
    speed = models.FloatField(default=1.0)
    aspect_ratio = models.CharField(max_length=10, blank=True)
    background_color = models.CharField(max_length=7, blank=True)
    background_upload = models.ForeignKey(Upload, on_delete=models.SET_NULL, null=True, related_name="+")
    captions = models.CharField(max_length=10, default="sidecar")
    callback_url = models.URLField(max_length=2000, blank=True)
    # {"tts": [...]}: which providers speak, in order, after the voice's own; empty: the installation's
    providers = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict)
    # -- where it stands
    status = models.CharField(max_length=10, choices=ClipStatus.choices, default=ClipStatus.QUEUED)
    stage = models.CharField(max_length=12, choices=ClipStage.choices, blank=True)
    failure_code = models.CharField(max_length=60, blank=True)
    failure_message = models.CharField(max_length=500, blank=True)
    cancel_requested_at = models.DateTimeField(null=True)
    fragments_total = models.PositiveIntegerField(null=True)
    fragments_done = models.PositiveIntegerField(default=0)
    progress = models.PositiveSmallIntegerField(default=0, help_text="Percent; never goes back")
    # Grows with everything a watcher could see: the id of server-sent events, and the ETag.
    revision = models.PositiveBigIntegerField(default=0)
    estimated_ms = models.PositiveIntegerField(default=0)
    # The day whose allowance paid the estimate; settled when the real length is known.
    usage_day = models.DateField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # {"speech_done_at": ..., "first_fragment_at": ..., "rendered_at": ...}: where the time went
    timings = models.JSONField(default=dict)
    # [[start_ms, end_ms, text]...] heard in given sound; a script's captions come from its utterances
    cues = models.JSONField(default=list)
    # [{"code": "render_seam", "at_ms": ...}...]: what whoever watches the result might notice
    warnings = models.JSONField(default=list)
    # -- the result
    audio_key = models.CharField(max_length=200, blank=True)
    video_key = models.CharField(max_length=200, blank=True)
    poster_key = models.CharField(max_length=200, blank=True)
    srt_key = models.CharField(max_length=200, blank=True)
    vtt_key = models.CharField(max_length=200, blank=True)
    duration_ms = models.PositiveIntegerField(null=True)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    bytes = models.PositiveBigIntegerField(null=True)
    expires_at = models.DateTimeField(null=True)
    purged_at = models.DateTimeField(null=True)
    # -- who works on it: `attempts` counts starts that did not end in order (a killed worker),
    # `retries` counts orderly waits for a part that is away
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True)
    enqueued_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    retries = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["owner", "-created_at", "-id"]),
            models.Index(fields=["status", "lease_until"]),
            models.Index(fields=["expires_at"], condition=Q(purged_at=None), name="clip_to_expire"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=ClipStatus.values), name="clip_status_known"),
        ]

    def __str__(self) -> str:
        return self.id


class ClipUtterance(models.Model):
    """One sentence with its place on the clip's timeline; its sound is one stored PCM object."""

    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="utterances")
    index = models.PositiveIntegerField()
    text = models.TextField()
    start_sample = models.PositiveBigIntegerField(help_text="48 kHz, on the clip's timeline")
    samples = models.PositiveBigIntegerField()
    pause_samples = models.PositiveBigIntegerField(default=0, help_text="Silence after it")
    pcm_key = models.CharField(max_length=200)
    # {"phones": [[symbol, start_ms, end_ms]...], "words": [[text, start_ms, end_ms]...]}
    timings = models.JSONField(default=dict)

    class Meta:
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["clip", "index"], name="utterance_once")]

    def __str__(self) -> str:
        return f"{self.clip_id}#{self.index}"


class FragmentStatus(models.TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"


class ClipFragment(models.Model):
    """A run of frames: the unit of work, storage and playout. Fragments tile the timeline."""

    clip = models.ForeignKey(Clip, on_delete=models.CASCADE, related_name="fragments")
    index = models.PositiveIntegerField()
    start_frame = models.PositiveIntegerField()
    frames = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=FragmentStatus.choices, default=FragmentStatus.PENDING)
    key = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64, blank=True)
    bytes = models.PositiveBigIntegerField(default=0)
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True)
    enqueued_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    retries = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    render_ms = models.PositiveIntegerField(null=True)
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["index"]
        indexes = [models.Index(fields=["status", "lease_until"])]
        constraints = [models.UniqueConstraint(fields=["clip", "index"], name="fragment_once")]

    def __str__(self) -> str:
        return f"{self.clip_id}/{self.index}"


class ClipStream(models.Model):
    """Who draws a clip of a stateful model: its fragments go through one stream, in their order.

    The lease on this row is the right to do so; the fragments have none of their own then.
    """

    clip = models.OneToOneField(Clip, on_delete=models.CASCADE, primary_key=True, related_name="stream")
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True)
    enqueued_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    retries = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"Stream of {self.clip_id}"
