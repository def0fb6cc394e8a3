"""Live sessions: who talks with which avatar, what was said, and what was kept of it."""

from functools import partial

from django.conf import settings
from django.db import models
from django.db.models import Q

from generation.avatars.models import Avatar
from project.ids import new_id


class Persona(models.Model):
    """How an avatar behaves in a session. Without an owner it belongs to everybody."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "psn"), editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="personas", null=True, blank=True
    )
    slug = models.SlugField(max_length=80)
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=500, blank=True)
    language = models.CharField(max_length=20, default="en", help_text="BCP 47, such as en or ja")
    system_prompt = models.TextField(blank=True, help_text="Told to the language model before everything")
    greeting = models.TextField(blank=True, help_text="Said as soon as somebody is there")
    knowledge = models.TextField(blank=True, help_text="Facts to answer from; passages split by empty lines")
    apology = models.CharField(max_length=500, blank=True, help_text="Said when a part fails")
    voice = models.CharField(max_length=120, blank=True, help_text="Empty: the avatar's own")
    max_tokens = models.PositiveIntegerField(null=True, blank=True, help_text="Longest answer")
    max_answer_seconds = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="An answer that is spoken for longer ends at the next sentence"
    )
    max_history_turns = models.PositiveSmallIntegerField(default=20)
    # {"tts": [...], "stt": [...], "llm": [...]}: which providers serve, in order; empty: the installation's
    providers = models.JSONField(default=dict, blank=True)
    # What the model may do: [{"type": "end_call" | "handover" | "webhook", ...}]
    tools = models.JSONField(default=list, blank=True)
    # What it does not talk about: [{"name", "phrases": [...], "answer", "action": "refuse" | "end"}]
    topics = models.JSONField(default=list, blank=True)
    builtin = models.BooleanField(default=False, editable=False, help_text="Comes with the installation")
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["owner", "-created_at", "-id"], name="persona_newest_first")]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "slug"], condition=Q(owner__isnull=False), name="own_persona_once"
            ),
            models.UniqueConstraint(fields=["slug"], condition=Q(owner=None), name="shared_persona_once"),
        ]

    def __str__(self) -> str:
        return self.name


class SessionStatus(models.TextChoices):
    CREATED = "created"
    QUEUED = "queued"
    ACTIVE = "active"
    ENDED = "ended"


class Phase(models.TextChoices):
    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"


class EndReason(models.TextChoices):
    CLIENT_ENDED = "client_ended"
    API_ENDED = "api_ended"
    IDLE_TIMEOUT = "idle_timeout"
    MAX_DURATION = "max_duration"
    CONNECT_TIMEOUT = "connect_timeout"
    QUEUE_TIMEOUT = "queue_timeout"
    DISCONNECTED = "disconnected"
    HOST_LOST = "host_lost"
    FAILED = "failed"
    ADMIN_ENDED = "admin_ended"
    ERASED = "erased"
    AVATAR_ENDED = "avatar_ended"


class Session(models.Model):
    """One live conversation, from join to end; survives reconnects and the death of its host.

    The row is the truth about where a session stands. One web process hosts it under a lease;
    `fence` grows with every claim, and whoever holds an older number can change nothing any more.
    """

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "ses"), editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sessions")
    # -- what was asked for
    avatar = models.ForeignKey(Avatar, on_delete=models.PROTECT, related_name="sessions")
    avatar_version = models.PositiveIntegerField()
    bundle_key = models.CharField(max_length=200)
    bundle_sha256 = models.CharField(max_length=64, blank=True)
    idle_key = models.CharField(max_length=200, blank=True)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    model = models.CharField(max_length=40)
    voice = models.CharField(max_length=120)
    language = models.CharField(max_length=20, default="en")
    persona = models.ForeignKey(
        Persona, on_delete=models.SET_NULL, null=True, blank=True, related_name="sessions"
    )
    # The persona as it was: {name, language, system_prompt, greeting, knowledge, apology, max_tokens,
    # max_answer_seconds, max_history_turns, providers, tools, topics}. A change of the persona does not
    # reach into it.
    persona_snapshot = models.JSONField(default=dict)
    # As of a persona, before its: {"tts": [...], "stt": [...], "llm": [...]}
    providers = models.JSONField(default=dict)
    record = models.BooleanField(default=True)
    consent = models.TextField(blank=True, help_text="What was shown before the recording began")
    may_say = models.BooleanField(default=False, help_text="The client may put words into the avatar's mouth")
    allowed_origins = models.JSONField(default=list)
    max_duration_seconds = models.PositiveIntegerField()
    metadata = models.JSONField(default=dict)
    # -- who may join
    token_hash = models.CharField(max_length=64, editable=False)
    token_expires_at = models.DateTimeField()
    token_used_at = models.DateTimeField(null=True)
    # -- where it stands
    status = models.CharField(max_length=10, choices=SessionStatus.choices, default=SessionStatus.CREATED)
    phase = models.CharField(max_length=10, choices=Phase.choices, default=Phase.IDLE)
    end_reason = models.CharField(max_length=20, choices=EndReason.choices, blank=True)
    failure_message = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    # Zero of the session's timeline: the first peer's first frame. Kept when the host changes.
    media_origin_at = models.DateTimeField(null=True)
    last_seen_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    erased_at = models.DateTimeField(null=True)
    swept_at = models.DateTimeField(null=True, help_text="When its objects were looked for again")
    # -- who hosts it
    host = models.CharField(max_length=80, blank=True)
    host_lease_until = models.DateTimeField(null=True)
    fence = models.PositiveIntegerField(default=0)
    last_seq = models.PositiveBigIntegerField(default=0, help_text="Highest event number stored here")
    # -- what was seen: codes such as "vp8_transcoded"; figures under the names of docs/sessions.md
    warnings = models.JSONField(default=list)
    metrics = models.JSONField(default=dict)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["owner", "-created_at", "-id"], name="session_newest_first"),
            models.Index(
                fields=["status", "queued_at", "id"],
                condition=~Q(status=SessionStatus.ENDED),
                name="session_running",
            ),
            models.Index(fields=["ended_at"], name="session_age"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=SessionStatus.values), name="session_status_known"),
            models.CheckConstraint(
                condition=Q(status=SessionStatus.ENDED, ended_at__isnull=False)
                | ~Q(status=SessionStatus.ENDED) & Q(ended_at=None, end_reason=""),
                name="session_end_is_whole",
            ),
        ]

    def __str__(self) -> str:
        return self.id


class Speaker(models.TextChoices):
    USER = "user"
    AVATAR = "avatar"


class TurnSource(models.TextChoices):
    VOICE = "voice"
    TEXT = "text"
    SAY = "say"
    UPLOAD = "upload"


class TurnStatus(models.TextChoices):
    OPEN = "open"
    DONE = "done"
    FAILED = "failed"


class Turn(models.Model):
    """One party holding the floor. Times are milliseconds on the session's timeline."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="turns")
    number = models.PositiveIntegerField()
    who = models.CharField(max_length=10, choices=Speaker.choices)
    source = models.CharField(max_length=10, choices=TurnSource.choices, default=TurnSource.VOICE)
    status = models.CharField(max_length=10, choices=TurnStatus.choices, default=TurnStatus.OPEN)
    text = models.TextField(blank=True, help_text="What was said, or was meant to be said")
    heard_text = models.TextField(blank=True, help_text="Of an avatar's turn: what was really played")
    start_ms = models.PositiveBigIntegerField(null=True)
    end_ms = models.PositiveBigIntegerField(null=True)
    interrupted = models.BooleanField(default=False)
    # [{"text", "start_ms", "end_ms", "words": [[text, start_ms, end_ms]...]}], session timeline
    utterances = models.JSONField(default=list)
    # What an answer was given to draw on: [{"document", "name", "page", "passage"}]
    sources = models.JSONField(default=list)
    metrics = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["session", "number"], name="turn_once")]

    def __str__(self) -> str:
        return f"{self.session_id}#{self.number}"


class RecordingStatus(models.TextChoices):
    RECORDING = "recording"
    ASSEMBLING = "assembling"
    READY = "ready"
    FAILED = "failed"
    ERASED = "erased"


class Recording(models.Model):
    """The played-out fragments of a session, joined and kept. Assembly is taken under a lease."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "rec"), editable=False)
    session = models.OneToOneField(Session, on_delete=models.CASCADE, related_name="recording")
    status = models.CharField(
        max_length=10, choices=RecordingStatus.choices, default=RecordingStatus.RECORDING
    )
    layout = models.CharField(max_length=10, default="stereo")
    key = models.CharField(max_length=200, blank=True)
    duration_ms = models.PositiveBigIntegerField(null=True)
    bytes = models.PositiveBigIntegerField(null=True)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    failure_code = models.CharField(max_length=60, blank=True)
    failure_message = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    purged_at = models.DateTimeField(null=True, help_text="When its objects were removed")
    # -- who works on it
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True)
    enqueued_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="recording_newest_first"),
            models.Index(fields=["status", "lease_until"], name="recording_work"),
            models.Index(fields=["expires_at"], condition=Q(purged_at=None), name="recording_to_expire"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=RecordingStatus.values), name="recording_status_known"
            ),
        ]

    def __str__(self) -> str:
        return self.id


# Documents have a room of their own; Django looks for their tables here.
from sessions.knowledge.models import Knowledge, KnowledgeDocument, Passage  # noqa: E402

__all__ = [
    "EndReason",
    "Knowledge",
    "KnowledgeDocument",
    "Passage",
    "Persona",
    "Phase",
    "Recording",
    "RecordingStatus",
    "Session",
    "SessionStatus",
    "Speaker",
    "Turn",
    "TurnSource",
    "TurnStatus",
]
