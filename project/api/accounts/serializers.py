"""The JSON of accounts and API keys."""

from typing import Any

from rest_framework import serializers

from project.accounts.allowances import allowance_of, usage_of
from project.accounts.models import ApiKey, Role, User
from project.accounts.scopes import SCOPES

MAX_OVERLAP_SECONDS = 7 * 24 * 3600


class ApiKeyInput(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=120)
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=40),
        required=False,
        allow_empty=False,
        max_length=len(SCOPES),
        help_text="Left out, the new key may do what the caller may",
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class RotationInput(serializers.Serializer[Any]):
    overlap_seconds = serializers.IntegerField(
        min_value=0,
        max_value=MAX_OVERLAP_SECONDS,
        required=False,
        default=24 * 3600,
        help_text="How long the old key works on",
    )


class ApiKeyOutput(serializers.Serializer[ApiKey]):
    id = serializers.CharField()
    name = serializers.CharField()
    prefix = serializers.SerializerMethodField(help_text="How the key begins")
    scopes = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)

    def get_prefix(self, key: ApiKey) -> str:
        return f"parley_{key.prefix}_"


class FreshApiKeyOutput(ApiKeyOutput):
    key = serializers.CharField(help_text="The key itself: shown now and never again")


class AllowanceOutput(serializers.Serializer[Any]):
    clips_in_flight = serializers.IntegerField()
    video_seconds_a_day = serializers.IntegerField()
    concurrent_sessions = serializers.IntegerField()
    session_minutes_a_day = serializers.IntegerField()
    requests_a_minute = serializers.IntegerField()
    cloned_voices = serializers.IntegerField()
    live_slots = serializers.IntegerField()


class UsageOutput(serializers.Serializer[Any]):
    day = serializers.DateField(help_text="Days begin at midnight UTC")
    video_seconds = serializers.IntegerField()
    session_seconds = serializers.IntegerField()


class CurrentKeyOutput(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())


class MeOutput(serializers.Serializer[Any]):
    id = serializers.CharField()
    email = serializers.EmailField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)
    allowance = AllowanceOutput()
    usage = UsageOutput()
    api_key = CurrentKeyOutput(allow_null=True, help_text="The key that made this call")


class SecretOutput(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="Shown now and never again")
    previous_valid_until = serializers.DateTimeField(
        help_text="Until then both the old and the new secret sign"
    )


def me(user: User, key: ApiKey | None) -> dict[str, Any]:
    """Everything that an account may know about itself."""
    whole = {
        "id": user.pk,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "allowance": allowance_of(user),
        "usage": usage_of(user),
        "api_key": key,
    }
    return dict(MeOutput(whole).data)
