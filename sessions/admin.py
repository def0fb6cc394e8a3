"""Live sessions in the staff admin: personas to work on, sessions and recordings to look at and to end."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from generation import voices
from project.errors import ParleyError
from sessions import erasing, personas, presenter, selectors, steering
from sessions.knowledge import documents
from sessions.knowledge.models import KnowledgeDocument
from sessions.models import EndReason, Persona, Recording, Session, SessionStatus, Turn

STATUS_COLORS = {"Created": "info", "Queued": "warning", "Active": "success", "Ended": ""}
DOCUMENT_COLORS = {"Preparing": "info", "Ready": "success", "Failed": "danger"}
RECORDING_COLORS = {"Recording": "info", "Assembling": "info", "Ready": "success", "Failed": "danger"}


class LookOnly(ModelAdmin):
    """What the service itself writes: staff look at it, and act by actions."""

    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002
        return False

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Who may end and erase: everybody who may look."""
        return bool(self.has_view_permission(request))


class TurnInline(TabularInline):
    """What was said."""

    model = Turn
    fields = ["number", "who", "source", "said", "start_ms", "end_ms", "interrupted", "status"]
    readonly_fields = fields
    ordering = ["number"]
    extra = 0
    can_delete = False
    hide_title = True
    tab = True

    @display(description="Said")
    def said(self, turn: Turn) -> str:
        return turn.heard_text or turn.text

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002
        return False


@admin.register(Persona)
class PersonaAdmin(ModelAdmin):
    """Shared personas, and a look at those of customers."""

    list_display = ["named", "language", "voice", "owner", "builtin", "archived", "updated_at"]
    list_filter = ["builtin", "language", ("archived_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "slug", "description", "id", "owner__email"]
    list_select_related = ["owner"]
    ordering = ["-created_at"]
    actions = ["archive", "restore"]
    warn_unsaved_form = True
    prepopulated_fields = {"slug": ["name"]}
    readonly_fields = ["owner", "builtin", "archived_at", "created_at", "updated_at"]
    fieldsets = (
        ("In the catalogue", {"fields": ("name", "slug", "description", "language", "voice")}),
        ("Behaviour", {"fields": ("greeting", "system_prompt", "knowledge", "apology")}),
        ("Limits", {"fields": ("max_tokens", "max_answer_seconds", "max_history_turns")}),
        ("Facts", {"fields": ("owner", "builtin", "archived_at", "created_at", "updated_at")}),
    )

    @display(description="Persona", header=True, ordering="name")
    def named(self, persona: Persona) -> list[str]:
        return [persona.name, persona.slug]

    @display(description="Archived", boolean=True)
    def archived(self, persona: Persona) -> bool:
        return persona.archived_at is not None

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        known = [(voice.id, f"{voice.name} ({voice.language})") for voice in voices.available()]
        form.base_fields["voice"].widget = UnfoldAdminSelectWidget(choices=[("", "The avatar's own"), *known])
        return form

    def save_model(self, request: HttpRequest, obj: Persona, form: Any, change: Any) -> None:
        # From now on it is the staff's: a new version of the product does not overwrite it.
        obj.builtin = False
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002
        """Personas are archived: sessions refer to them."""
        return False

    @admin.action(description="Archive", permissions=["change"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Persona]) -> None:
        for persona in queryset:
            personas.persona_archive(persona)
        self.message_user(request, "Archived. Sessions keep what they began with.", messages.SUCCESS)

    @admin.action(description="Put back into the catalogue", permissions=["change"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Persona]) -> None:
        queryset.update(archived_at=None)
        self.message_user(request, "Back in the catalogue.", messages.SUCCESS)


@admin.register(KnowledgeDocument)
class DocumentAdmin(LookOnly):
    """What personas know: given by their owners, looked at and removed here."""

    list_display = [
        "name",
        "persona",
        "owner",
        "kind",
        "status_badge",
        "passages",
        "pages",
        "bytes",
        "created_at",
    ]
    list_filter = ["status", "kind", "failure_code", ("created_at", admin.DateFieldListFilter)]
    search_fields = ["name", "id", "persona__name", "persona__owner__email"]
    list_select_related = ["persona__owner"]
    ordering = ["-created_at"]
    actions = ["remove"]
    fields = ["id", "name", "persona", "owner", "kind", "bytes", "sha256", "status_badge", "failure_code",
              "failure_message", "pages", "passages", "embedding_model", "created_at", "ready_at",
              "attempts"]  # fmt: skip
    readonly_fields = fields

    @display(description="Status", ordering="status", label=DOCUMENT_COLORS)
    def status_badge(self, document: KnowledgeDocument) -> str:
        return document.get_status_display()

    @display(description="Owner", ordering="persona__owner")
    def owner(self, document: KnowledgeDocument) -> str:
        return str(document.persona.owner or "Everybody")

    @admin.action(description="Remove with passages and file", permissions=["act"])
    def remove(self, request: HttpRequest, queryset: QuerySet[KnowledgeDocument]) -> None:
        self.message_user(request, f"{documents.erase(queryset)} removed.", messages.SUCCESS)


@admin.register(Session)
class SessionAdmin(LookOnly):
    list_display = [
        "id",
        "owner",
        "avatar",
        "status_badge",
        "end_reason",
        "duration",
        "turn_count",
        "created_at",
    ]
    list_filter = ["status", "end_reason", "record", "model", ("created_at", admin.DateFieldListFilter)]
    search_fields = ["id", "owner__email", "avatar__name", "persona__name"]
    search_help_text = "Id, owner, avatar or persona"
    list_select_related = ["owner", "avatar"]
    ordering = ["-created_at"]
    actions = ["end", "erase"]
    inlines = [TurnInline]
    fieldsets = (
        ("Session", {"fields": ("id", "owner", "status_badge", "phase", "end_reason", "failure_message")}),
        ("Asked for", {"fields": ("avatar", "model", "voice", "persona", "language", "record", "may_say",
                                  "allowed_origins", "max_duration_seconds", "metadata")}),
        ("Times", {"fields": ("created_at", "token_used_at", "queued_at", "started_at", "ended_at",
                              "duration")}),
        ("Host", {"fields": ("host", "host_lease_until", "fence", "last_seen_at")}),
        ("Seen", {"fields": ("warnings", "metrics")}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        rows: QuerySet[Session] = super().get_queryset(request)
        return rows.filter(erased_at=None).annotate(turn_total=Count("turns"))

    @display(description="Status", ordering="status", label=STATUS_COLORS)
    def status_badge(self, session: Session) -> str:
        return session.get_status_display()

    @display(description="Turns", ordering="turn_total")
    def turn_count(self, session: Any) -> int:
        return int(session.turn_total)

    @display(description="Duration")
    def duration(self, session: Session) -> str:
        seconds = (presenter.duration_ms(session) or 0) // 1000
        return f"{seconds // 60}:{seconds % 60:02}" if session.started_at else "-"

    @admin.action(description="End", permissions=["act"])
    def end(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        running = queryset.exclude(status=SessionStatus.ENDED)
        for session in running:
            steering.end(session, EndReason.ADMIN_ENDED)
        self.message_user(request, f"{len(running)} ended.", messages.SUCCESS)

    @admin.action(description="Erase with transcript and recording", permissions=["act"])
    def erase(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        chosen = list(queryset)
        for session in chosen:
            erasing.session_erase(session)
        self.message_user(request, f"{len(chosen)} erased.", messages.SUCCESS)


@admin.register(Recording)
class RecordingAdmin(LookOnly):
    list_display = ["id", "session", "owner", "status_badge", "duration", "bytes", "created_at", "expires_at"]
    list_filter = ["status", ("created_at", admin.DateFieldListFilter)]
    search_fields = ["id", "session__id", "session__owner__email"]
    list_select_related = ["session__owner"]
    ordering = ["-created_at"]
    actions = ["erase"]
    fields = ["id", "session", "status_badge", "video", "layout", "duration", "bytes", "failure_code",
              "failure_message", "created_at", "ready_at", "expires_at", "purged_at", "attempts"]  # fmt: skip
    readonly_fields = fields

    @display(description="Status", ordering="status", label=RECORDING_COLORS)
    def status_badge(self, recording: Recording) -> str:
        return recording.get_status_display()

    @display(description="Owner", ordering="session__owner")
    def owner(self, recording: Recording) -> str:
        return str(recording.session.owner)

    @display(description="Duration", ordering="duration_ms")
    def duration(self, recording: Recording) -> str:
        seconds = (recording.duration_ms or 0) // 1000
        return f"{seconds // 60}:{seconds % 60:02}" if recording.duration_ms is not None else "-"

    @display(description="Video")
    def video(self, recording: Recording) -> SafeString | str:
        try:
            url = presenter.recording_link(selectors.playable(recording))
        except ParleyError as error:
            return str(error)
        return format_html('<video src="{}" controls preload="metadata" width="320"></video>', url)

    @admin.action(description="Erase", permissions=["act"])
    def erase(self, request: HttpRequest, queryset: QuerySet[Recording]) -> None:
        erased = 0
        for recording in queryset.select_related("session"):
            try:
                erasing.recording_erase(recording)
                erased += 1
            except ParleyError as error:
                self.message_user(request, f"{recording}: {error}", messages.ERROR)
        if erased:
            self.message_user(request, f"{erased} erased.", messages.SUCCESS)
