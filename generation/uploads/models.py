"""Files that callers hand in to be used by clips and sessions."""

from functools import partial

from django.conf import settings
from django.db import models

from project.ids import new_id


class UploadKind(models.TextChoices):
    AUDIO = "audio"
    IMAGE = "image"


class Upload(models.Model):
    """A checked file: audio is kept as decoded 48 kHz PCM beside its original."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "upl"), editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="uploads")
    kind = models.CharField(max_length=10, choices=UploadKind.choices)
    original_key = models.CharField(max_length=200)
    pcm_key = models.CharField(max_length=200, blank=True)
    bytes = models.PositiveBigIntegerField(default=0)
    duration_ms = models.PositiveIntegerField(null=True)
    sample_rate = models.PositiveIntegerField(null=True)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        indexes = [models.Index(fields=["owner", "-created_at"])]

    def __str__(self) -> str:
        return self.id
