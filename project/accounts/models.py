"""Users, their API keys, their allowances and what they used of them."""

from functools import partial
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from project.ids import new_id


class Role(models.TextChoices):
    ADMIN = "admin"
    OPERATOR = "operator"
    CUSTOMER = "customer"


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        if not email:
            raise ValueError("A user needs an e-mail address")
        user = self.model(email=email, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, **{"role": Role.ADMIN, **fields})

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser):
    """Somebody who signs in with an e-mail address; the role alone says what they may do.

    An admin may do everything, an operator runs the catalogue and sees everybody's clips but
    no accounts, a customer has what is theirs.
    """

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "usr"), editable=False)
    email = models.EmailField("e-mail address", max_length=254, unique=True)
    name = models.CharField(max_length=120, blank=True)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.CUSTOMER)
    is_active = models.BooleanField(
        "active", default=True, help_text="Switch off to lock the account out; its things stay"
    )
    # The secret that signs callbacks is derived from the service's key and this number.
    callback_secret_version = models.PositiveIntegerField(default=1, editable=False)
    callback_secret_rotated_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ["email"]
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_once"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="user_role_known"),
        ]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        super().clean()
        self.email = self.email.strip().lower()

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = self.email.strip().lower()
        super().save(*args, **kwargs)

    @property
    def is_staff(self) -> bool:
        return self.role in (Role.ADMIN, Role.OPERATOR)

    @property
    def is_superuser(self) -> bool:
        return self.role == Role.ADMIN

    def has_perm(self, perm: str, obj: object = None) -> bool:  # noqa: ARG002 - Django's signature
        """Answer Django's admin: operators keep out of accounts."""
        return self.has_module_perms(perm.partition(".")[0])

    def has_perms(self, perm_list: list[str], obj: object = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        if not (self.is_active and self.is_staff):
            return False
        return self.is_superuser or app_label not in ("accounts", "auth")


class ApiKey(models.Model):
    """A key for programs. Only the SHA-256 of its 256-bit secret is kept."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "key"), editable=False)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=120)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)
    replaced_by = models.OneToOneField(
        "self", on_delete=models.SET_NULL, null=True, editable=False, related_name="replaces"
    )

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["owner", "-created_at", "-id"], name="api_key_newest_first")]
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def __str__(self) -> str:
        return f"{self.name} (parley_{self.prefix}_…)"

    @property
    def is_usable(self) -> bool:
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not expired


class Allowance(models.Model):
    """How much one account may use. An empty field means the service's default."""

    owner = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="allowance")
    clips_in_flight = models.PositiveIntegerField(null=True, blank=True)
    video_seconds_a_day = models.PositiveIntegerField(null=True, blank=True)
    concurrent_sessions = models.PositiveIntegerField(null=True, blank=True)
    session_minutes_a_day = models.PositiveIntegerField(null=True, blank=True)
    requests_a_minute = models.PositiveIntegerField(null=True, blank=True)
    cloned_voices = models.PositiveIntegerField(null=True, blank=True)
    live_slots = models.PositiveIntegerField(
        null=True, blank=True, help_text="Slots of render workers that its sessions hold at once; 0 for any"
    )

    def __str__(self) -> str:
        return f"Allowance of {self.owner_id}"


class DailyUsage(models.Model):
    """What an account used on one day (UTC). Kept apart from clips and sessions, so that
    deleting those gives nothing back."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="daily_usage")
    day = models.DateField()
    video_seconds = models.PositiveIntegerField(default=0)
    session_seconds = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "day"], name="usage_once_a_day")]

    def __str__(self) -> str:
        return f"{self.owner_id} on {self.day}"
