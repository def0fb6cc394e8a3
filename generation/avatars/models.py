"""The avatar catalogue."""

from functools import partial

from django.conf import settings
from django.db import models
from django.db.models import Q

from project.ids import new_id


class AvatarStatus(models.TextChoices):
    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"


class Preparable(models.Model):
    """What a preparation made for one model.

    `version` grows with every preparation, and the objects of a version are never overwritten, so a
    clip that is being rendered keeps the version it began with.
    """

    model = models.CharField(max_length=40, default="viseme", help_text="The model that prepares it")
    status = models.CharField(max_length=10, choices=AvatarStatus.choices, default=AvatarStatus.PREPARING)
    failure_code = models.CharField(max_length=60, blank=True)
    failure_message = models.CharField(max_length=500, blank=True)
    progress = models.PositiveSmallIntegerField(default=0)
    # What preparation found: mouth_box, landmarks, warnings.
    findings = models.JSONField(default=dict, blank=True)
    version = models.PositiveIntegerField(default=0)
    # The preparer and the size it was made for: on another backend, a model may need another bundle.
    made_by = models.CharField(max_length=80, blank=True)
    bundle_key = models.CharField(max_length=200, blank=True)
    bundle_sha256 = models.CharField(max_length=64, blank=True)
    idle_key = models.CharField(max_length=200, blank=True)
    preview_key = models.CharField(max_length=200, blank=True)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    has_alpha = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    # Preparation is taken under a lease; `lease_token` fences off a worker that lost it.
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    enqueued_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    @property
    def ready(self) -> bool:
        """Whether clips and sessions may begin with it."""
        return self.status == AvatarStatus.READY and bool(self.bundle_key)


class Avatar(Preparable):
    """A portrait or template video, and what its first model's preparation made of it.

    An avatar without an owner belongs to the shared catalogue. What other models need of it stands
    in its `AvatarPreparation`s.
    """

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "avt"), editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="avatars", null=True, blank=True
    )
    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    default_voice = models.CharField(max_length=120, blank=True)
    source_key = models.CharField(max_length=200, help_text="The picture or video as it was handed in")
    source_kind = models.CharField(max_length=10, choices=[("image", "Image"), ("video", "Video")])
    # Corrected by hand in the catalogue; normalised {left, top, right, bottom}.
    mouth_box = models.JSONField(null=True, blank=True)
    fps = models.PositiveSmallIntegerField(default=25)
    ai_disclosure = models.BooleanField(default=True, help_text="Say that the person is computer-made")
    consent_by = models.CharField(max_length=200, blank=True, help_text="Who gave consent, and in what role")
    consent_text = models.TextField(blank=True)
    consent_at = models.DateTimeField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["status", "lease_until"])]

    def __str__(self) -> str:
        return self.name


class AvatarPreparation(Preparable):
    """An avatar made ready for one more model, from the same source."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "prep"), editable=False)
    avatar = models.ForeignKey(Avatar, on_delete=models.CASCADE, related_name="preparations")

    class Meta:
        ordering = ["model"]
        indexes = [models.Index(fields=["status", "lease_until"], name="preparation_work")]
        constraints = [
            models.UniqueConstraint(fields=["avatar", "model"], name="preparation_once_per_model"),
            models.CheckConstraint(
                condition=Q(status__in=AvatarStatus.values), name="preparation_status_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.avatar_id} for {self.model}"
