"""What is kept of providers: the voices they list, and voices that were copied with consent."""

from functools import partial

from django.conf import settings
from django.db import models
from django.db.models import Q

from project.ids import new_id


class VoiceListing(models.Model):
    """The voices that a provider told last. A voice of it is known while its provider is away."""

    provider = models.CharField(primary_key=True, max_length=60)
    # A list of {provider_voice, name, language, gender, model}
    voices = models.JSONField(default=list)
    listed_at = models.DateTimeField(null=True)
    tried_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=60, blank=True)

    def __str__(self) -> str:
        return self.provider


class VoiceConsent(models.Model):
    """Who agreed that a voice is copied, when, from where, and to which words. Never changed.

    It outlives the copy: it says that there was a right to make it.
    """

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "cns"), editable=False)
    given_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="voice_consents"
    )
    account = models.CharField(max_length=254, help_text="The account's address at that time")
    speaker = models.CharField(max_length=200, help_text="Whose voice it is")
    statement = models.TextField()
    version = models.CharField(max_length=20)
    ip = models.GenericIPAddressField(null=True)
    given_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-given_at"]

    def __str__(self) -> str:
        return f"{self.speaker}, {self.given_at:%Y-%m-%d}"


class CloneStatus(models.TextChoices):
    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"


class ClonedVoice(models.Model):
    """A voice that a provider copied from a recording. There is none without a consent.

    The row is the truth; messages carry its id only. Copying and removing are taken under a lease.
    """

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "vcl"), editable=False)
    # None once the account is gone: the copy is then removed at its provider too.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="cloned_voices"
    )
    consent = models.OneToOneField(VoiceConsent, on_delete=models.PROTECT, related_name="voice")
    name = models.CharField(max_length=80)
    provider = models.CharField(max_length=60)
    language = models.CharField(max_length=20)
    gender = models.CharField(max_length=10, default="neutral")
    status = models.CharField(max_length=10, choices=CloneStatus.choices, default=CloneStatus.PREPARING)
    failure_code = models.CharField(max_length=60, blank=True)
    failure_message = models.CharField(max_length=500, blank=True)
    # The recording, 24 kHz mono WAV; removed once the voice is ready, has failed or is deleted.
    sound_key = models.CharField(max_length=200, blank=True)
    duration_ms = models.PositiveIntegerField(default=0)
    # What the provider calls it, and the only model that it speaks with.
    provider_voice = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    # -- who works on it
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["owner", "-created_at", "-id"], name="clone_newest_first"),
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(status__in=("preparing", "deleting")),
                name="clone_work",
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=CloneStatus.values), name="clone_status_known"),
        ]

    def __str__(self) -> str:
        return self.name
