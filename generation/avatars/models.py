"""The avatar catalogue."""

from functools import partial

from django.conf import settings
from django.db import models

from project.ids import new_id


class AvatarStatus(models.TextChoices):
    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"


class Avatar(models.Model):
    """A portrait or template video, and what preparation made of it.

    An avatar without an owner belongs to the shared catalogue. `version` grows with every
    preparation, and the objects of a version are never overwritten, so a clip that is being
    rendered keeps the version it began with.
    """

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "avt"), editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="avatars", null=True, blank=True
    )
    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    status = models.CharField(max_length=10, choices=AvatarStatus.choices, default=AvatarStatus.PREPARING)
    failure_code = models.CharField(max_length=60, blank=True)
    failure_message = models.CharField(max_length=500, blank=True)
    progress = models.PositiveSmallIntegerField(default=0)
    model = models.CharField(max_length=40, default="viseme", help_text="The model that prepares it")
    default_voice = models.CharField(max_length=120, blank=True)
    source_key = models.CharField(max_length=200, help_text="The picture or video as it was handed in")
    source_kind = models.CharField(max_length=10, choices=[("image", "Image"), ("video", "Video")])
    # Corrected by hand in the catalogue; normalised {left, top, right, bottom}.
    mouth_box = models.JSONField(null=True, blank=True)
    # What preparation found: mouth_box, landmarks, warnings.
    findings = models.JSONField(default=dict, blank=True)
    version = models.PositiveIntegerField(default=0)
    bundle_key = models.CharField(max_length=200, blank=True)
    bundle_sha256 = models.CharField(max_length=64, blank=True)
    idle_key = models.CharField(max_length=200, blank=True)
    preview_key = models.CharField(max_length=200, blank=True)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    fps = models.PositiveSmallIntegerField(default=25)
    has_alpha = models.BooleanField(default=False)
    ai_disclosure = models.BooleanField(default=True, help_text="Say that the person is computer-made")
    consent_by = models.CharField(max_length=200, blank=True, help_text="Who gave consent, and in what role")
    consent_text = models.TextField(blank=True)
    consent_at = models.DateTimeField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    # Preparation is taken under a lease; `lease_token` fences off a worker that lost it.
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    enqueued_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["status", "lease_until"])]

    def __str__(self) -> str:
        return self.name
