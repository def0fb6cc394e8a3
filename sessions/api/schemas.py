"""What the calls of sessions take and give: for parsing, and for the OpenAPI document."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from sessions import abilities
from sessions.knowledge.models import DocumentKind, DocumentStatus
from sessions.models import EndReason, Phase, RecordingStatus, SessionStatus, Speaker, TurnSource, TurnStatus

MAX_SPEECH = 5_000


class Providers(serializers.DictField):
    """`{"tts": [...], "stt": [...], "llm": [...]}`: ids in order; left out: the persona's, then the
    installation's."""

    child = serializers.ListField(child=serializers.CharField(max_length=60))


class SessionWish(serializers.Serializer[Any]):
    avatar = serializers.CharField(max_length=80, help_text="Id or slug")
    voice = serializers.CharField(max_length=120, required=False, allow_blank=True, help_text="Id")
    persona = serializers.CharField(max_length=80, required=False, allow_blank=True, help_text="Id or slug")
    model = serializers.CharField(max_length=40, required=False, allow_blank=True)
    record = serializers.BooleanField(required=False, default=True)
    may_say = serializers.BooleanField(
        required=False, default=False, help_text="The client token may make the avatar say a text verbatim"
    )
    max_duration_seconds = serializers.IntegerField(required=False, allow_null=True)
    allowed_origins = serializers.ListField(
        child=serializers.CharField(max_length=300),
        required=False,
        help_text="Origins of pages that may join beside this service's own",
    )
    providers = Providers(required=False, allow_null=True)
    metadata = serializers.DictField(required=False, help_text="At most 8 kB as JSON")


class IceServer(serializers.Serializer[Any]):
    urls = serializers.ListField(child=serializers.CharField())
    username = serializers.CharField(required=False)
    credential = serializers.CharField(required=False)


class SessionLimits(serializers.Serializer[Any]):
    max_duration_seconds = serializers.IntegerField()
    warning_seconds = serializers.IntegerField(help_text="The client is warned so long before the end")
    idle_timeout_seconds = serializers.IntegerField()
    connect_timeout_seconds = serializers.IntegerField()
    reconnect_seconds = serializers.IntegerField()
    queue_timeout_seconds = serializers.IntegerField()


class RecordingFailure(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class RecordingOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    session = serializers.CharField()
    status = serializers.ChoiceField(choices=RecordingStatus.choices)
    failure = RecordingFailure(allow_null=True)
    layout = serializers.CharField(help_text="stereo: avatar left, customer right; mixed: both on both")
    duration_ms = serializers.IntegerField(allow_null=True)
    bytes = serializers.IntegerField(allow_null=True)
    width = serializers.IntegerField(allow_null=True)
    height = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()
    ready_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)


class SessionOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    status = serializers.ChoiceField(choices=SessionStatus.choices)
    phase = serializers.ChoiceField(choices=Phase.choices)
    position = serializers.IntegerField(allow_null=True, help_text="Place in the queue, from 1")
    end_reason = serializers.ChoiceField(choices=EndReason.choices, allow_null=True)
    failure_message = serializers.CharField(allow_null=True)
    avatar = serializers.CharField()
    avatar_name = serializers.CharField()
    preview_url = serializers.URLField(allow_null=True)
    persona = serializers.CharField(allow_null=True)
    persona_name = serializers.CharField(allow_null=True)
    voice = serializers.CharField()
    model = serializers.CharField()
    language = serializers.CharField()
    providers = Providers()
    record = serializers.BooleanField()
    may_say = serializers.BooleanField()
    allowed_origins = serializers.ListField(child=serializers.CharField())
    max_duration_seconds = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(help_text="The client token has to be used before")
    joined_at = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)
    turns = serializers.IntegerField()
    recording = RecordingOut(allow_null=True)
    warnings = serializers.ListField(child=serializers.CharField())
    metrics = serializers.DictField()
    metadata = serializers.DictField()


class SessionCreated(SessionOut):
    client_token = serializers.CharField(help_text="For the customer's page; opens this session alone")
    ws_url = serializers.CharField(help_text="Add `?token=<client_token>`")
    join_url = serializers.CharField(help_text="A page that is ready to use; carries the token")
    ice_servers = IceServer(many=True)
    limits = SessionLimits()


class SessionPage(serializers.Serializer[Any]):
    results = SessionOut(many=True)
    next = serializers.URLField(allow_null=True)


class SpeechWish(serializers.Serializer[Any]):
    """Either `text` or `upload`."""

    text = serializers.CharField(required=False, max_length=MAX_SPEECH)
    upload = serializers.CharField(required=False, max_length=40, help_text="Id of an audio upload")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError("Give either text or upload.", code="text_or_upload")
        return attrs


class TurnTaken(serializers.Serializer[Any]):
    turn = serializers.IntegerField()


class Interrupted(serializers.Serializer[Any]):
    turn = serializers.IntegerField(allow_null=True)
    heard_text = serializers.CharField(allow_blank=True)


class SourceOut(serializers.Serializer[Any]):
    document = serializers.CharField()
    name = serializers.CharField()
    page = serializers.IntegerField(allow_null=True, help_text="Of a PDF, from 1")
    passage = serializers.IntegerField(help_text="Its place in the document, from 0")


class ToolUsed(serializers.Serializer[Any]):
    name = serializers.CharField()
    outcome = serializers.ChoiceField(choices=["done", "failed", "refused"])
    ms = serializers.IntegerField()


class TurnOut(serializers.Serializer[Any]):
    turn = serializers.IntegerField()
    who = serializers.ChoiceField(choices=Speaker.choices)
    source = serializers.ChoiceField(choices=TurnSource.choices)  # type: ignore[assignment]  # our own word
    status = serializers.ChoiceField(choices=TurnStatus.choices)
    text = serializers.CharField()
    heard_text = serializers.CharField(allow_null=True, help_text="Of the avatar: what was really played")
    start_ms = serializers.IntegerField(allow_null=True)
    end_ms = serializers.IntegerField(allow_null=True)
    interrupted = serializers.BooleanField()
    utterances = serializers.ListField(child=serializers.DictField())
    tools = ToolUsed(many=True, help_text="What the model did besides talking")
    sources = SourceOut(many=True, help_text="What an answer of the avatar was given to draw on")


class TranscriptOut(serializers.Serializer[Any]):
    session = serializers.CharField()
    language = serializers.CharField()
    status = serializers.ChoiceField(choices=SessionStatus.choices)
    turns = TurnOut(many=True)


class StageOut(serializers.Serializer[Any]):
    name = serializers.ChoiceField(
        choices=["endpoint", "asr", "retrieval", "llm", "tool", "tts", "render", "playout"]
    )
    from_ms = serializers.IntegerField(help_text="From the end of the customer's voice, or the question")
    to_ms = serializers.IntegerField()
    first_ms = serializers.IntegerField(required=False, help_text="When its first result was there")
    piece = serializers.IntegerField(required=False, help_text="The sentence of the answer, from 1")
    pieces = serializers.IntegerField(required=False, help_text="How many sentences are told as one")
    provider = serializers.CharField(required=False)
    label = serializers.CharField(required=False, help_text="Of a tool: which one")  # type: ignore[assignment]


class WaitOut(serializers.Serializer[Any]):
    name = serializers.ChoiceField(
        choices=["listening", "retrieval", "llm", "sentence", "tts", "render", "playout"]
    )
    ms = serializers.IntegerField()


class MeasuredTurn(serializers.Serializer[Any]):
    turn = serializers.IntegerField()
    source = serializers.ChoiceField(choices=TurnSource.choices)  # type: ignore[assignment]  # our own word
    status = serializers.ChoiceField(choices=TurnStatus.choices)
    interrupted = serializers.BooleanField()
    start_ms = serializers.IntegerField(allow_null=True)
    figures = serializers.DictField(child=serializers.FloatField())
    waits = WaitOut(many=True, help_text="What the wait for its first sound was made of")
    stages = StageOut(many=True)


class FigureOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    unit = serializers.CharField()
    source = serializers.ChoiceField(choices=["server"])  # type: ignore[assignment]  # our own word
    n = serializers.IntegerField(help_text="How many answers it was measured of")
    median = serializers.FloatField()
    min = serializers.FloatField()
    max = serializers.FloatField()
    p95 = serializers.FloatField(help_text="The smallest one that 95% do not exceed")


class LatencyOut(serializers.Serializer[Any]):
    session = serializers.CharField()
    status = serializers.ChoiceField(choices=SessionStatus.choices)
    measured_turns = serializers.IntegerField()
    figures = FigureOut(many=True)
    turns = MeasuredTurn(many=True)


class RecordingPage(serializers.Serializer[Any]):
    results = RecordingOut(many=True)
    next = serializers.URLField(allow_null=True)


@extend_schema_field(
    {
        "type": "array",
        "maxItems": abilities.MAX_TOOLS,
        "items": {
            "oneOf": [
                {
                    "type": "object",
                    "title": "End the call",
                    "required": ["type"],
                    "properties": {
                        "type": {"const": "end_call"},
                        "say": {"type": "string", "description": "Said where the model says no goodbye"},
                    },
                },
                {
                    "type": "object",
                    "title": "Ask for a human",
                    "description": "Tells the event session.handover to webhook endpoints and the page",
                    "required": ["type"],
                    "properties": {
                        "type": {"const": "handover"},
                        "say": {"type": "string"},
                        "end": {"type": "boolean", "description": "End the session when that was heard"},
                    },
                },
                {
                    "type": "object",
                    "title": "Ask a server of yours",
                    "required": ["type", "name", "description", "url"],
                    "properties": {
                        "type": {"const": "webhook"},
                        "name": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]{0,47}$"},
                        "description": {"type": "string", "maxLength": 1000},
                        "url": {"type": "string", "format": "uri", "description": "Public, not redirected"},
                        "parameters": {"type": "object", "description": "JSON schema of an object"},
                        "filler": {"type": "string", "description": "Said when it takes long"},
                    },
                },
            ]
        },
    }
)
class Tools(serializers.JSONField):
    """What the model may do besides talking; `sessions.abilities` checks it."""


@extend_schema_field(
    {
        "type": "array",
        "maxItems": abilities.MAX_TOPICS,
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "maxLength": 80, "description": "Told to the model"},
                "phrases": {
                    "type": "array",
                    "items": {"type": "string", "maxLength": 80},
                    "maxItems": abilities.MAX_PHRASES,
                },
                "answer": {"type": "string", "description": "Said instead"},
                "action": {"type": "string", "enum": ["refuse", "end"]},
            },
        },
    }
)
class Topics(serializers.JSONField):
    """What the persona does not talk about."""


class PersonaIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=120)
    slug = serializers.SlugField(max_length=80, required=False)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True)
    language = serializers.RegexField(
        r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=20, required=False, help_text="Such as en or ja-JP"
    )
    system_prompt = serializers.CharField(max_length=8_000, required=False, allow_blank=True)
    greeting = serializers.CharField(max_length=1_000, required=False, allow_blank=True)
    knowledge = serializers.CharField(
        max_length=60_000, required=False, allow_blank=True, help_text="Passages, split by empty lines"
    )
    apology = serializers.CharField(max_length=500, required=False, allow_blank=True)
    voice = serializers.CharField(max_length=120, required=False, allow_blank=True, allow_null=True)
    max_tokens = serializers.IntegerField(min_value=16, max_value=4_000, required=False, allow_null=True)
    max_history_turns = serializers.IntegerField(min_value=0, max_value=200, required=False)
    max_answer_seconds = serializers.IntegerField(
        min_value=5, max_value=600, required=False, allow_null=True, help_text="Ends at the next sentence"
    )
    providers = Providers(required=False)
    tools = Tools(required=False)
    topics = Topics(required=False)


class PersonaOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    language = serializers.CharField()
    system_prompt = serializers.CharField()
    greeting = serializers.CharField()
    knowledge = serializers.CharField()
    apology = serializers.CharField()
    voice = serializers.CharField(allow_null=True)
    max_tokens = serializers.IntegerField(allow_null=True)
    max_history_turns = serializers.IntegerField()
    max_answer_seconds = serializers.IntegerField(allow_null=True)
    providers = Providers()
    tools = Tools()
    topics = Topics()
    shared = serializers.BooleanField(help_text="In the shared catalogue, not somebody's own")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class PersonaPage(serializers.Serializer[Any]):
    results = PersonaOut(many=True)
    next = serializers.URLField(allow_null=True)


class DocumentIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, help_text="Ends in .md for Markdown")
    text = serializers.CharField(trim_whitespace=False)


class DocumentFile(serializers.Serializer[Any]):
    file = serializers.FileField(help_text="Text, Markdown or PDF")
    name = serializers.CharField(max_length=200, required=False, help_text="Instead of the file's own")


class DocumentFailure(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class DocumentOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    persona = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=DocumentKind.choices)
    bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    status = serializers.ChoiceField(choices=DocumentStatus.choices)
    failure = DocumentFailure(allow_null=True)
    pages = serializers.IntegerField(allow_null=True, help_text="Of a PDF")
    passages = serializers.IntegerField()
    embedding_model = serializers.CharField(allow_null=True, help_text="Set when found by meaning too")
    created_at = serializers.DateTimeField()
    ready_at = serializers.DateTimeField(allow_null=True)


class DocumentPage(serializers.Serializer[Any]):
    results = DocumentOut(many=True)
    next = serializers.URLField(allow_null=True)


class FoundOut(SourceOut):
    heading = serializers.CharField(allow_null=True)
    text = serializers.CharField()
    score = serializers.FloatField(help_text="Of one search alone: higher fits better")


class SearchOut(serializers.Serializer[Any]):
    results = FoundOut(many=True)
    took_ms = serializers.FloatField()
