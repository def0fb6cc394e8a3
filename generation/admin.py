"""The staff admin: the catalogue to work on, clips and uploads to look at."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from generation.avatars import selectors, services
from generation.avatars.forms import AvatarAddForm, AvatarChangeForm
from generation.avatars.models import Avatar, AvatarStatus
from generation.avatars.presenter import link
from generation.avatars.services import Consent
from generation.clips.models import Clip
from generation.providers.models import ClonedVoice, VoiceConsent
from generation.uploads.models import Upload
from project.errors import ParleyError
from workers import profiles

# Roles say what people may do here; groups would only look as if they did.
admin.site.unregister(Group)

THUMBNAIL = '<img src="{}" alt="" width="48" height="60" loading="lazy" class="parley-thumbnail">'


class ArchivedFilter(admin.SimpleListFilter):
    """Archived avatars are out of the way until somebody asks for them."""

    title = "archived"
    parameter_name = "archived"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("yes", "Archived"), ("all", "All")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Avatar]) -> QuerySet[Avatar]:  # noqa: ARG002
        match self.value():
            case "all":
                return queryset
            case "yes":
                return queryset.exclude(archived_at=None)
        return queryset.filter(archived_at=None)

    def choices(self, changelist: Any) -> Any:
        for index, choice in enumerate(super().choices(changelist)):
            yield {**choice, "display": "In the catalogue"} if index == 0 else choice


@admin.register(Avatar)
class AvatarAdmin(ModelAdmin):
    list_display = [
        "picture",
        "named",
        "status_badge",
        "source_kind",
        "ready_for",
        "size",
        "default_voice",
        "created_at",
    ]
    list_display_links = ["picture", "named"]
    list_filter = ["status", "source_kind", ArchivedFilter, "has_alpha", "ai_disclosure"]
    list_per_page = 30
    search_fields = ["name", "slug", "description", "id"]
    search_help_text = "Name, short name, description or id"
    ordering = ["-created_at"]
    actions = ["prepare_again", "prepare_for_all", "archive", "restore"]
    actions_submit_line = ["save_and_prepare", "save_and_archive"]
    change_form_before_template = "admin/generation/avatar_preview.html"
    warn_unsaved_form = True
    readonly_fields = [
        "status_badge",
        "model",
        "slug",
        "size",
        "version",
        "consent_at",
        "created_at",
        "updated_at",
    ]
    add_fieldsets = (
        ("Source", {"fields": ("image", "video", "drawn")}),
        ("In the catalogue", {"fields": ("name", "description", "default_voice", "model", "models")}),
        ("Consent and disclosure", {"fields": ("consent_by", "consent_text", "ai_disclosure")}),
    )
    fieldsets = (
        ("In the catalogue", {"fields": ("name", "description", "default_voice", "models")}),
        ("Mouth", {"fields": ("mouth_box",)}),
        ("Consent and disclosure", {"fields": ("consent_by", "consent_text", "consent_at", "ai_disclosure")}),
        ("Facts", {"fields": ("slug", "model", "size", "version", "created_at", "updated_at")}),
    )

    class Media:
        css = {"all": ["catalogue/admin.css"]}

    # --- list ---------------------------------------------------------------------------

    @display(description="")
    def picture(self, avatar: Avatar) -> SafeString:
        url = link(avatar.preview_key)
        return format_html(THUMBNAIL, url) if url else SafeString('<span class="parley-thumbnail"></span>')

    @display(description="Avatar", header=True, ordering="name")
    def named(self, avatar: Avatar) -> list[str]:
        return [avatar.name, avatar.slug if avatar.owner_id is None else f"{avatar.slug} · {avatar.owner}"]

    @display(
        description="Status",
        ordering="status",
        label={"Ready": "success", "Failed": "danger", "Archived": "warning", "Preparing": "info"},
    )
    def status_badge(self, avatar: Avatar) -> str:
        return "Archived" if avatar.archived_at else avatar.get_status_display()

    @display(description="Models")
    def ready_for(self, avatar: Avatar) -> str:
        """Those it is ready for, then how the others are."""
        made = selectors.preparations(avatar)
        waiting = [f"{one.model} ({one.status})" for one in made if not one.ready]
        return ", ".join([one.model for one in made if one.ready] + waiting) or "-"

    @display(description="Size")
    def size(self, avatar: Avatar) -> str:
        alpha = ", transparent" if avatar.has_alpha else ""
        return f"{avatar.width}x{avatar.height}{alpha}" if avatar.width else "-"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Avatar]:
        rows: QuerySet[Avatar] = super().get_queryset(request)
        return rows.prefetch_related("preparations")

    # --- actions ------------------------------------------------------------------------

    @admin.action(description="Prepare again", permissions=["change"])
    def prepare_again(self, request: HttpRequest, queryset: QuerySet[Avatar]) -> None:
        chosen = queryset.filter(archived_at=None)
        for avatar in chosen:
            services.avatar_prepare(avatar)
        self.message_user(request, f"{len(chosen)} being prepared.", messages.SUCCESS)

    @admin.action(description="Prepare for every model at work here", permissions=["change"])
    def prepare_for_all(self, request: HttpRequest, queryset: QuerySet[Avatar]) -> None:
        models = [model for model in profiles.model_ids() if profiles.is_installed(model) and model != "mock"]
        added = sum(services.avatar_add_models(a, models) for a in queryset.filter(archived_at=None))
        self.message_user(request, f"{added} preparations begun.", messages.SUCCESS)

    @admin.action(description="Archive", permissions=["change"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Avatar]) -> None:
        for avatar in queryset:
            services.avatar_archive(avatar)
        self.message_user(request, "Archived. Clips that began with them are finished.", messages.SUCCESS)

    @admin.action(description="Put back into the catalogue", permissions=["change"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Avatar]) -> None:
        for avatar in queryset:
            services.avatar_restore(avatar)
        self.message_user(request, "Back in the catalogue.", messages.SUCCESS)

    @action(description="Save and prepare again", variant=ActionVariant.PRIMARY)
    def save_and_prepare(self, request: HttpRequest, obj: Avatar) -> None:
        try:
            services.avatar_prepare(obj)
        except ParleyError as error:
            self.message_user(request, str(error), messages.ERROR)

    @action(description="Archive", variant=ActionVariant.DANGER)
    def save_and_archive(self, request: HttpRequest, obj: Avatar) -> None:  # noqa: ARG002 - unfold's signature
        services.avatar_archive(obj)

    # --- form ---------------------------------------------------------------------------

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = AvatarChangeForm if obj else AvatarAddForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fieldsets(request, obj) if obj else self.add_fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_readonly_fields(request, obj) if obj else []

    def save_model(self, request: HttpRequest, obj: Avatar, form: Any, change: Any) -> None:
        if change:
            told = form.cleaned_data
            fields = ("name", "description", "default_voice", "mouth_box", "ai_disclosure")
            changes = {name: told[name] for name in fields if name in form.changed_data}
            consent = None
            if {"consent_by", "consent_text"} & set(form.changed_data):
                consent = Consent(told["consent_by"], told["consent_text"])
            services.avatar_update(obj, changes, consent, form.models_wanted())
            for chosen in self.get_actions_submit_line(request, obj.pk):
                if chosen.action_name in request.POST:
                    chosen.method(request, obj)
            return
        created = services.avatar_store(None, form.facts(), form.source)
        obj.__dict__.update(created.__dict__)

    def response_add(self, request: HttpRequest, obj: Avatar, post_url_continue: str | None = None) -> Any:
        """Show the new avatar, where its preparation can be watched."""
        told = request.POST.copy()
        told.setdefault("_continue", "1")
        request.POST = told  # type: ignore[assignment]  # Django only reads it from here on
        return super().response_add(request, obj, post_url_continue)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        avatar = kwargs.get("obj")
        if avatar is not None:
            context["studio_view"] = _editor(avatar)
        return super().render_change_form(request, context, *args, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Avatars are archived: clips, and the consent given, refer to them."""
        return False


def _editor(avatar: Avatar) -> dict[str, Any]:
    """What the page draws: links, landmarks and the mouth that preparation found."""
    made_for = selectors.preparations(avatar)
    return {
        "avatar": avatar,
        "portrait": link(avatar.preview_key)
        or (link(avatar.source_key) if avatar.source_kind == "image" else None),
        "idle": link(avatar.idle_key),
        "others": made_for[1:],
        "warnings": avatar.findings.get("warnings", []),
        "data": {
            "id": avatar.pk,
            "states": ",".join(f"{made.model} {made.status}" for made in made_for),
            "waiting": any(made.status == AvatarStatus.PREPARING for made in made_for),
            "landmarks": avatar.findings.get("landmarks", []),
            "found": avatar.findings.get("mouth_box"),
        },
    }


class LookOnly(ModelAdmin):
    """Rows that the service itself writes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


@admin.register(Clip)
class ClipAdmin(LookOnly):
    list_display = [
        "picture",
        "said",
        "status_badge",
        "where",
        "owner",
        "avatar",
        "length",
        "took",
        "created_at",
    ]
    list_display_links = ["picture", "said"]
    list_select_related = ["owner", "avatar"]
    list_filter = ["status", "stage", "model", "failure_code"]
    list_per_page = 50
    search_fields = ["id", "script", "owner__email", "failure_code"]
    search_help_text = "Id, script, owner or failure"
    ordering = ["-created_at"]
    fieldsets = (
        (
            None,
            {"fields": ("video", "status_badge", "where", "failure", "owner", "avatar", "voice", "model")},
        ),
        (
            "What was asked for",
            {"fields": ("script", "upload", "audio_url", "speed", "aspect_ratio", "captions")},
        ),
        (
            "Where the time went",
            {"fields": ("created_at", "started_at", "finished_at", "timing_table", "attempts")},
        ),
    )

    class Media:
        css = {"all": ["catalogue/admin.css"]}

    @display(description="")
    def picture(self, clip: Clip) -> SafeString:
        url = None if clip.purged_at else link(clip.poster_key) or link(clip.avatar.preview_key)
        return format_html(THUMBNAIL, url) if url else SafeString('<span class="parley-thumbnail"></span>')

    @display(description="Clip", header=True)
    def said(self, clip: Clip) -> list[str]:
        text = " ".join(clip.script.split()) or "From a recording"
        return [text[:60] + ("…" if len(text) > 60 else ""), clip.pk]

    @display(
        description="Status",
        ordering="status",
        label={
            "Succeeded": "success",
            "Failed": "danger",
            "Canceled": "warning",
            "Queued": "info",
            "Running": "info",
        },
    )
    def status_badge(self, clip: Clip) -> str:
        return clip.get_status_display()

    @display(description="Stage or failure")
    def where(self, clip: Clip) -> str:
        if clip.failure_code:
            return clip.failure_code
        if clip.stage and not clip.finished_at:
            return f"{clip.get_stage_display()}, {clip.fragments_done}/{clip.fragments_total or '?'}"
        return "-"

    @display(description="Failure")
    def failure(self, clip: Clip) -> str:
        return f"{clip.failure_code}: {clip.failure_message}" if clip.failure_code else "-"

    @display(description="Length", ordering="duration_ms")
    def length(self, clip: Clip) -> str:
        return f"{clip.duration_ms / 1000:.1f} s" if clip.duration_ms else "-"

    @display(description="Took")
    def took(self, clip: Clip) -> str:
        if not clip.finished_at:
            return "-"
        seconds = (clip.finished_at - clip.created_at).total_seconds()
        speed = f" ({clip.duration_ms / 1000 / seconds:.1f}x)" if clip.duration_ms and seconds > 0 else ""
        return f"{seconds:.1f} s{speed}"

    @display(description="Video")
    def video(self, clip: Clip) -> SafeString | str:
        if not clip.video_key or clip.purged_at:
            return "-"
        player = '<video class="parley-player" controls preload="metadata" src="{}" poster="{}"></video>'
        return format_html(player, link(clip.video_key), link(clip.poster_key) or "")

    @display(description="Moments")
    def timing_table(self, clip: Clip) -> str:
        return render_to_string("admin/generation/timings.html", {"timings": clip.timings})


@admin.register(Upload)
class UploadAdmin(LookOnly):
    list_display = ["id", "kind", "owner", "size", "length", "created_at", "expires_at"]
    list_filter = ["kind"]
    list_select_related = ["owner"]
    search_fields = ["id", "owner__email"]
    ordering = ["-created_at"]

    @display(description="Size")
    def size(self, upload: Upload) -> str:
        pixels = f", {upload.width}x{upload.height}" if upload.width else ""
        return f"{upload.bytes / 1024:.0f} kB{pixels}"

    @display(description="Length")
    def length(self, upload: Upload) -> str:
        return f"{upload.duration_ms / 1000:.1f} s" if upload.duration_ms else "-"


@admin.register(ClonedVoice)
class ClonedVoiceAdmin(LookOnly):
    list_display = [
        "name",
        "owner",
        "provider",
        "language",
        "status",
        "failure_code",
        "created_at",
        "deleted_at",
    ]
    list_filter = ["status", "provider"]
    search_fields = ["id", "name", "owner__email"]
    list_select_related = ["owner"]
    exclude = ["lease_token", "lease_until"]


@admin.register(VoiceConsent)
class VoiceConsentAdmin(LookOnly):
    list_display = ["speaker", "account", "version", "given_at", "ip"]
    search_fields = ["speaker", "account", "voice__id"]
