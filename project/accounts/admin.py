"""Users, keys and allowances in the admin. Operators do not get here: see `User.has_perm`."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.password_validation import validate_password
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, StackedInline
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectMultipleWidget

from project.accounts import keys
from project.accounts.models import Allowance, ApiKey, DailyUsage, User
from project.accounts.scopes import SCOPES
from project.errors import InvalidInput


class UserForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A user with an optional new password; passwords are never shown."""

    new_password = forms.CharField(
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="At least 10 characters. Leave empty to keep the present one.",
    )

    class Meta:
        model = User
        fields = ["email", "name", "role", "is_active"]

    def clean_new_password(self) -> str:
        password: str = self.cleaned_data["new_password"]
        if password:
            validate_password(password, self.instance)
        elif self.instance._state.adding:  # noqa: SLF001 - Django's documented state
            raise forms.ValidationError("A new user needs a password.")
        return password

    def save(self, commit: bool = True) -> User:
        if self.cleaned_data["new_password"]:
            self.instance.set_password(self.cleaned_data["new_password"])
        user: User = super().save(commit)
        return user


class AllowanceInline(StackedInline):
    model = Allowance
    can_delete = True
    extra = 0
    verbose_name = "allowance (empty fields mean the default)"


@admin.register(User)
class UserAdmin(ModelAdmin):
    form = UserForm
    list_display = ["email", "name", "role", "is_active", "last_login", "created_at"]
    list_filter = ["role", "is_active"]
    search_fields = ["id", "email", "name"]
    readonly_fields = ["id", "last_login", "created_at"]
    fields = ["email", "name", "role", "is_active", "new_password", "id", "last_login", "created_at"]
    inlines = [AllowanceInline]

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nobody deletes the account they are signed in with."""
        return super().has_delete_permission(request, obj) and obj != request.user


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        choices=[(scope, f"{scope}: {meaning}") for scope, meaning in SCOPES.items()],
        widget=UnfoldAdminSelectMultipleWidget(attrs={"size": len(SCOPES)}),
    )

    class Meta:
        model = ApiKey
        fields = ["owner", "name", "scopes", "expires_at"]

    def clean(self) -> dict[str, Any]:
        """Refuse here what `keys.create` would, so that the form can say so."""
        cleaned: dict[str, Any] = super().clean() or {}
        if self.instance._state.adding and {"owner", "scopes"} <= set(cleaned):  # noqa: SLF001
            try:
                keys.check(cleaned["owner"], cleaned["scopes"], cleaned.get("expires_at"))
            except InvalidInput as exc:
                raise forms.ValidationError(str(exc)) from exc
        return cleaned


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    form = ApiKeyForm
    list_display = ["name", "shown_prefix", "owner", "last_used_at", "expires_at", "revoked_at"]
    list_filter = ["revoked_at", "expires_at"]
    search_fields = ["id", "name", "prefix", "owner__email"]
    list_select_related = ["owner"]
    autocomplete_fields = ["owner"]
    actions = ["revoke"]

    @admin.display(description="Begins with")
    def shown_prefix(self, key: ApiKey) -> str:
        return f"parley_{key.prefix}_…"

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:  # noqa: ARG002
        if obj is None:
            return []
        return ["owner", "shown_prefix", "created_at", "last_used_at", "revoked_at"]

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        return [*self.form.Meta.fields, *(f for f in self.get_readonly_fields(request, obj) if f != "owner")]

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        made, text = keys.create(obj.owner, name=obj.name, scopes=obj.scopes, expires_at=obj.expires_at)
        obj.pk, obj.prefix, obj.digest = made.pk, made.prefix, made.digest
        messages.warning(request, f"Copy the key now, it is never shown again: {text}")

    @admin.action(description="Revoke the selected keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            keys.revoke(key)
        messages.success(request, "The keys were revoked. They stopped working at once.")


@admin.register(DailyUsage)
class DailyUsageAdmin(ModelAdmin):
    list_display = ["owner", "day", "video_seconds", "session_seconds"]
    date_hierarchy = "day"
    search_fields = ["owner__email"]
    list_select_related = ["owner"]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002
        return False
